"""Import strings lead to objects, or to advice."""

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.policies.import_string import ImportStringError, import_object


def test_an_import_string_leads_to_the_object_and_to_its_attributes():
    import collections

    assert import_object("collections:OrderedDict") is collections.OrderedDict
    assert import_object("collections:OrderedDict.fromkeys") == collections.OrderedDict.fromkeys


@pytest.mark.parametrize("text", ["collections", "collections:", ":OrderedDict", "", ".collections:OrderedDict"])
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


@pytest.mark.parametrize(
    ("code", "said"),
    [("def broken(:\n", "SyntaxError: .*line 1"), ("raise RuntimeError('no CUDA')\n", "RuntimeError: no CUDA")],
)
def test_a_module_that_raises_while_imported_is_named_with_what_it_said(tmp_path, monkeypatch, code, said):
    (tmp_path / "raises_at_once.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportStringError, match=f"importing 'raises_at_once' failed: {said}") as caught:
        import_object("raises_at_once:Net")
    assert caught.value.__cause__ is not None
