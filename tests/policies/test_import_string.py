"""Import strings lead to objects, or to advice."""

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.import_string import ImportStringError, import_object


def test_an_import_string_leads_to_the_object_and_to_its_attributes():
    import collections

    assert import_object("collections:OrderedDict") is collections.OrderedDict
    assert import_object("collections:OrderedDict.fromkeys") == collections.OrderedDict.fromkeys


@pytest.mark.parametrize("text", ["collections", "collections:", ":OrderedDict", ""])
def test_a_string_without_module_and_name_is_refused(text):
    with pytest.raises(ImportStringError, match=r"expected an import string 'package\.module:Name'"):
        import_object(text)


def test_a_missing_module_is_named_with_what_to_do():
    with pytest.raises(ImportStringError, match=r"no module 'no_such_package'\. Install .* PYTHONPATH"):
        import_object("no_such_package.models:Net")


def test_a_module_that_lacks_something_itself_says_what(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportStringError, match="importing 'needs_more' failed: No module named 'no_such_dependency'"):
        import_object("needs_more:Net")


def test_a_misspelt_name_gets_a_guess():
    with pytest.raises(UnknownNameError, match="Did you mean 'OrderedDict'"):
        import_object("collections:OrderedDikt")
