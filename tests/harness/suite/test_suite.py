import re
from pathlib import Path

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.envs.tasks import TASKS
from calvinbench.harness.suite.reading import load_suite, parse_suite, shipped_suites
from calvinbench.harness.suite.settings import RunSettings
from calvinbench.harness.suite.suite import Suite
from calvinbench.policies.registry import make_policy
from support import REPOSITORY


def test_the_demo_ships_and_compares_policies_on_the_same_chains():
    assert "demo" in shipped_suites()
    assert all(load_suite(name).runs for name in shipped_suites())
    suite = load_suite("demo")
    assert suite.policy == ("checkpoint:cnn", "expert", "random", "untrained:kosmos2")
    assert len({run.chains for run in suite.runs}) == 1
    assert suite.settings.scene == "embedded"


def test_a_suite_s_folder_has_its_name_and_a_folder_for_each_policy(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(f"policy: [expert, 'untrained:kosmos2,seed=3']\nout: {tmp_path}\nchains: 7\n")
    suite = load_suite(str(path))
    assert [suite.directory(run) for run in suite.runs] == [
        tmp_path / "mine" / "expert",
        tmp_path / "mine" / "untrained-kosmos2-seed-3",
    ]
    assert suite.runs[0].chains == 7


def test_policies_given_as_flags_have_no_folder_between():
    suite = Suite.of(policy=("random",), out=Path("there"))
    assert suite.directory(suite.runs[0]) == Path("there/random")


def test_one_policy_may_be_written_without_a_list():
    assert parse_suite("one", "policy: random", "one").policy == ("random",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policy: [random]\nchain: 5", r"Unknown key of suite 'x': 'chain'\. Did you mean 'chains'\?"),
        ("policy: [random]\nchains: ten", "expected chains to be a whole number of at least 1, got 'ten'"),
        ("policy: [random]\nchains: true", "expected chains to be a whole number"),
        ("policy: [random]\nworlds: 0", "expected worlds to be a whole number of at least 1, got 0"),
        ("policy: [random]\nmemory_reset: chian", r"Unknown memory_reset 'chian'\. Did you mean 'chain'\?"),
        ("policy: [1, 2]", "list of specs"),
        ("policy: []", "at least one policy"),
        ("chains: 3", "at least one policy"),
        ("policy: ['a:b', 'a-b']", "would both write to 'a-b'"),
        ("- random", "expected a mapping"),
        ("policy: [", "expected YAML"),
    ],
)
def test_a_bad_suite_is_refused_in_words(text, words):
    with pytest.raises(ValueError, match=words):
        parse_suite("x", text, "x")


def test_an_unknown_suite_is_guessed():
    with pytest.raises(UnknownNameError, match="Did you mean 'demo'"):
        load_suite("demmo")
    with pytest.raises(ValueError, match="found none"):
        load_suite("nowhere/mine.yaml")


def test_a_long_spec_makes_a_short_folder_that_is_its_own():
    runs = [RunSettings(f"checkpoint:/{'very/' * 40}{name}") for name in ("a", "b")]
    assert all(len(run.slug) <= 80 for run in runs)
    assert runs[0].slug != runs[1].slug


VARIED = """
policy: [random, expert]
scene: [embedded, D]
memory_reset: [subtask, chain]
seed: [0, 7]
out: there
"""


def test_what_is_varied_is_run_with_each_policy_in_a_folder_of_its_own():
    suite = parse_suite("study", VARIED, "study")
    runs = suite.runs
    assert len(runs) == 16
    assert len({suite.directory(run) for run in runs}) == 16
    assert [run.scene for run in runs] == ["embedded"] * 8 + ["D"] * 8
    assert {(run.memory_reset, run.seed) for run in runs} == {(r, s) for r in ("subtask", "chain") for s in (0, 7)}
    first = Path("there/study/scene-embedded/random--memory-reset-subtask--seed-0")
    assert suite.directory(runs[0]) == first
    assert suite.directory(runs[-1]) == Path("there/study/scene-D/expert--memory-reset-chain--seed-7")


def test_instructions_vary_too_and_one_value_is_told_nowhere():
    suite = parse_suite("s", "policy: random\ninstructions: [calvinbench, calvinbench-held-out]\nseed: [3]", "s")
    folders = [suite.directory(run) for run in suite.runs]
    assert [folder.parent.name for folder in folders] == [
        "instructions-calvinbench",
        "instructions-calvinbench-held-out",
    ]
    assert {folder.name for folder in folders} == {"random"}
    assert [run.seed for run in suite.runs] == [3, 3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: []", r"expected seed to be a value or a list of different ones, got \[\]"),
        ("seed: [1, 1]", r"a list of different ones, got \[1, 1\]"),
        ("seed: [1, x]", "expected seed to be a whole number"),
        ("memory_reset: [subtask, never]", "memory_reset"),
        ("chains: [1, 2]", "expected chains to be a whole number"),
    ],
)
def test_lists_that_cannot_be_run_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_suite("x", f"policy: random\n{text}", "x")


DECLARED = """
policy:
  - {policy: "calvin:mine:Model,weights=a.pt", train: ABC, training_seed: 1, training_recipe: plain}
  - {policy: "ws://host:1", train: D}
  - checkpoint:cnn
  - expert
train: ABCD
"""


def test_training_is_declared_for_each_policy():
    suite = parse_suite("s", DECLARED, "s")
    said = [(run.policy, run.train, run.training_seed, run.training_recipe) for run in suite.runs]
    assert said == [
        ("calvin:mine:Model,weights=a.pt", "ABC", 1, "plain"),
        ("ws://host:1", "D", None, None),
        ("checkpoint:cnn", "ABCD", None, None),
        ("expert", "ABCD", None, None),  # which is privileged, and takes nothing of it
    ]


def test_a_policy_may_have_a_variants_name():
    entries = (
        "policy: [checkpoint:cnn, {policy: 'checkpoint:cnn,blind=true', variant: blind}, {policy: expert, variant: a}]"
    )
    assert [run.variant for run in parse_suite("s", entries, "s").runs] == [None, "blind", "a"]


def test_the_suite_in_the_documentation_is_one():
    page = (REPOSITORY / "docs" / "suites.md").read_text("utf-8")
    (text,) = [part.partition("```")[0] for part in page.split("```yaml\n") if part.startswith("policy:\n")]
    suite = parse_suite("study", text, "suites.md")
    assert len(suite.runs) == (2 + 2 + 1) * 2 * 2 * 2
    assert {run.training_seed for run in suite.runs} == {None, 1, 2}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            "{policy: 'ws://h:1', recipe: x}",
            r"Unknown key of a policy in suite 'x': 'recipe'\. Did you mean 'training_rec",
        ),
        (
            "{policy: 'ws://h:1', training_seed: one}",
            "expected training_seed to be a whole number of at least 0, got 'one'",
        ),
        ("{policy: 'ws://h:1', training_seed: -1}", "at least 0, got -1"),
        ("{policy: 'ws://h:1', train: 5}", "expected train to name what the policy was trained on, got 5"),
        ("{policy: 'ws://h:1', training_recipe: ''}", "expected training_recipe to name how"),
        ("{policy: expert, variant: 3}", "expected variant to name what sets the policy apart, got 3"),
        ("{policy: 3}", "expected policy to be a spec, got 3"),
        ("{train: ABC}", r"mappings such as {policy: SPEC, train: ABC}, got {'train': 'ABC'}"),
        ("{policy: expert, train: ABC}", "no training declared for 'expert'"),
        ("{policy: random, training_seed: 1}", "no training declared for 'random'"),
        ("{policy: 'untrained:cnn,seed=1', train: D}", "Write 'untrained:cnn,seed=1' alone"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused_in_words(entry, words):
    with pytest.raises(ValueError, match=words):
        parse_suite("x", f"policy: [{entry}]", "x")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("train", "[A, B, C]"),
        ("train", "5"),
        ("training_seed", "'3'"),
        ("training_seed", "true"),
        ("training_seed", "1.5"),
        ("training_recipe", "3"),
        ("variant", "{a: b}"),
    ],
)
def test_remedy_a_declaration_of_another_kind_shows_one_that_is_read(name, wrong):
    with pytest.raises(ValueError, match="or leave it out") as caught:
        parse_suite("x", f"policy: [{{policy: 'ws://h:1', {name}: {wrong}}}]", "x")
    shown = re.search(r"such as (\w+: [\w ]+), or", str(caught.value))[1]
    (run,) = parse_suite("x", f"policy: [{{policy: 'ws://h:1', {shown}}}]", "x").runs
    assert getattr(run, name) == {"train": "ABC", "training_seed": 0}.get(name, shown.split(": ")[1])


def test_a_label_becomes_a_setting_of_the_policys_spec():
    text = (
        "policy: [{policy: 'calvin:a:B', label: 'mine: v2', train: ABC}, {policy: 'calvin:a:B', label: other}, expert]"
    )
    suite = parse_suite("s", text, "s")
    assert [(run.policy, run.train) for run in suite.runs] == [
        ("calvin:a:B,label=mine: v2", "ABC"),
        ("calvin:a:B,label=other", None),
        ("expert", None),
    ]
    assert make_policy(parse_suite("s", "policy: [{policy: random, label: floor}]", "s").policy[0]).traits.label == (
        "floor"
    )


def test_a_label_does_not_make_a_random_policy_one_that_was_trained():
    with pytest.raises(ValueError, match="no training declared for 'random,label=a:b'"):
        parse_suite("s", "policy: [{policy: random, label: 'a:b', train: ABC}]", "s")


@pytest.mark.parametrize("label", ["''", "3", "'a, b'", "[a]"])
def test_remedy_a_label_that_cannot_be_one_shows_one_that_can(label):
    with pytest.raises(ValueError, match=r"expected label in suite 's' to be text without commas") as caught:
        parse_suite("s", f"policy: [{{policy: random, label: {label}}}]", "s")
    shown = re.search(r"for example (label: .*)\.$", str(caught.value))[1]
    assert parse_suite("s", f"policy: [{{policy: random, {shown}}}]", "s").policy == ("random,label=my model",)


def test_two_labels_of_one_policy_are_refused():
    with pytest.raises(ValueError, match=r"got 'b' beside 'random,label=a'\. Leave one of them out"):
        parse_suite("s", "policy: [{policy: 'random,label=a', label: b}]", "s")


def test_a_memory_span_becomes_a_setting_of_the_policies_that_take_one():
    suite = parse_suite("s", "policy: [expert, 'checkpoint:cnn', 'untrained:cnn']\nmemory_span: window:4", "s")
    assert [run.policy for run in suite.runs] == [
        "expert",
        "checkpoint:cnn,memory_span=window:4",
        "untrained:cnn,memory_span=window:4",
    ]


def test_memory_spans_vary_with_a_folder_for_each():
    policies = "policy: [expert, {policy: 'checkpoint:a', training_seed: 2}]"
    text = f"{policies}\nmemory_span: ['window:1', unbounded]\nseed: [0, 1]"
    suite = parse_suite("s", text, "s")
    assert [suite.directory(run).name for run in suite.runs] == [
        "expert--seed-0",
        "expert--seed-1",
        "checkpoint-a-memory_span-window-1--seed-0",
        "checkpoint-a-memory_span-window-1--seed-1",
        "checkpoint-a-memory_span-unbounded--seed-0",
        "checkpoint-a-memory_span-unbounded--seed-1",
    ]
    assert [run.training_seed for run in suite.runs] == [None, None, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("policy: 'checkpoint:a,memory_span=none'\nmemory_span: unbounded", "in the suite or in its policies' specs"),
        ("policy: 'checkpoint:a'\nmemory_span: window:0", "expected memory span 'none', 'unbounded' or 'window:N'"),
        ("policy: 'checkpoint:a'\nmemory_span: []", "a list of different ones"),
    ],
)
def test_memory_spans_that_cannot_be_are_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_suite("x", text, "x")


def test_all_stands_for_all_tasks():
    assert Suite.of(policy=("random",), tasks=("all",)).runs[0].tasks == TASKS
    assert parse_suite("s", "policy: random\ntasks: all", "s.yaml").settings.tasks == TASKS
    assert len(TASKS) == 34


def test_flags_take_precedence_over_what_a_suite_varies():
    suite = parse_suite("s", "policy: random\nseed: [1, 2]\nscene: [embedded, D]", "s").with_values(seed=7, worlds=3)
    assert [(run.scene, run.seed) for run in suite.runs] == [("embedded", 7), ("D", 7)]
    assert suite.worlds == 3
