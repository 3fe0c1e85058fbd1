"""Short names, attributes, and training seeds that are one method; on descriptions without any rollout."""

from dataclasses import replace
from pathlib import Path

import pytest

from calvinbench.envs.names import UnknownNameError
from calvinbench.harness.analysis.methods import (
    constant_attributes,
    differing_attributes,
    labels,
    methods,
    methods_by_condition,
)
from calvinbench.policies.policy import Memory
from support.made_runs import PALIGEMMA, made_run


def run_of(*args, **said):
    return made_run((), *args, **said)


def of_seed(seed, recipe="r", **said):
    return run_of(f"checkpoint:seed{seed}", folder=f"seed{seed}", training_seed=seed, training_recipe=recipe, **said)


def names(runs, **options):
    return [method.name for method in methods(runs, **options)]


@pytest.mark.parametrize(
    ("policy", "label", "name"),
    [
        ("checkpoint:vlm", PALIGEMMA, "paligemma"),
        ("checkpoint:vlm", "minilm-effnet (31.3M, pretrained VLM, trained here)", "minilm-effnet"),
        ("checkpoint:cnn,blind=true", "cnn (2.2M, shipped with calvinbench), blind", "cnn, blank images"),
        ("untrained:kosmos2", "kosmos2 (1.7M, untrained)", "untrained kosmos2"),
        ("calvin:my.models:MyModel", "my.models:MyModel", "MyModel"),
        ("calvin:my.models:MyModel,label=mine (2)", "mine (2)", "mine (2)"),
        ("python:my.models:make,label=my.models:make", "my.models:make", "my.models:make"),
        ("python:my.models:make", "my policy", "my policy"),
        ("expert", "expert", "expert"),
        ("a policy from a notebook", "MyPolicy", "MyPolicy"),
    ],
)
def test_the_default_name_is_short_and_a_users_label_stays(policy, label, name):
    run = run_of(policy, label)
    assert (names([run]), run.name) == ([name], name)


def test_size_and_origin_are_attributes():
    (method,) = methods([run_of(train="ABC", training_seed=3)])
    expected = {"size": "1.5M", "origin": "trained here", "trained on": "ABC", "training seed": "3"}
    assert expected.items() <= method.attributes.items()
    assert {"cameras": "static, gripper", "memory": "window:8", "memory reset": "subtask"}.items() <= (
        method.attributes.items()
    )
    assert "variant" not in method.attributes


@pytest.mark.parametrize(
    ("said", "word"),
    [({}, "yes"), ({"may_read": ("robot_obs",)}, "allowed"), ({"observation_keys": ("rgb_static",)}, "no")],
)
def test_a_policy_that_may_read_the_robots_state_is_only_allowed_to(said, word):
    assert methods([run_of(**said)])[0].attributes["proprioception"] == word


def test_methods_of_one_name_are_distinguished_by_the_attribute_that_differs():
    windows = [run_of(memory=Memory(f"window:{size}"), folder=str(size)) for size in (1, 8)]
    assert names([*windows, run_of("expert", "expert")]) == ["paligemma window:1", "paligemma window:8", "expert"]
    sizes = [run_of(), run_of(label="paligemma (2.9B, trained here)", folder="large")]
    assert names(sizes) == ["paligemma 1.5M", "paligemma 2.9B"]


def test_one_attribute_that_distinguishes_all_is_enough():
    several = [
        run_of(memory=Memory("window:1"), chunk_rule="first", folder="a"),
        run_of(memory=Memory("window:1"), chunk_rule="first:2", folder="b"),
        run_of(memory=Memory("window:8"), chunk_rule="first:6", folder="c"),
    ]
    assert names(several) == [
        "paligemma chunk rule first",
        "paligemma chunk rule first:2",
        "paligemma chunk rule first:6",
    ]


def test_otherwise_several_attributes_distinguish_them():
    grid = [
        run_of(memory=Memory(span), chunk_rule=rule, folder=span + rule)
        for span in ("window:1", "none")
        for rule in ("first", "first:6")
    ]
    assert names(grid) == [
        "paligemma window:1 chunk rule first",
        "paligemma window:1 chunk rule first:6",
        "paligemma no memory chunk rule first",
        "paligemma no memory chunk rule first:6",
    ]


def test_runs_that_differ_in_nothing_but_the_folder_are_named_by_it():
    assert names([run_of(folder="a"), run_of(folder="b")]) == ["paligemma a", "paligemma b"]
    assert names([run_of(), run_of()]) == ["paligemma", "paligemma (2)"]


def test_variants_of_one_policy_are_named_by_the_variant_alone():
    ablation = [run_of(variant=word, folder=word) for word in ("as compared", "one camera")]
    assert names(ablation) == ["as compared", "one camera"]
    assert names([*ablation, run_of("expert", "expert")]) == [
        "paligemma, as compared",
        "paligemma, one camera",
        "expert",
    ]


def test_seeds_of_one_recipe_are_one_method():
    runs = [of_seed(1), run_of("expert", "expert"), of_seed(0), of_seed(0, "another")]
    seeds, expert, other = methods(runs)
    assert [run.description.training_seed for run in seeds.runs] == [0, 1]
    assert (seeds.attributes["training seed"], seeds.has_seeds, expert.has_seeds) == ("0, 1", True, False)
    assert len({seeds.name, expert.name, other.name}) == 3
    assert names([of_seed(0), of_seed(1)], seeds="each") == ["paligemma seed 0", "paligemma seed 1"]


def test_a_training_that_was_run_twice_is_not_a_seed():
    again = replace(of_seed(1), directory=Path("runs/again"))
    found = methods([of_seed(0), of_seed(1), again])
    assert [len(method.runs) for method in found] == [2, 1]
    assert len({method.name for method in found}) == 2


def test_a_policy_has_one_name_in_all_conditions():
    runs = [of_seed(0), of_seed(1), of_seed(0, scene="D"), run_of("expert", "expert", scene="D")]
    embedded, scene_d = methods_by_condition(runs)
    assert [(method.name, len(method.runs)) for method in embedded] == [("paligemma", 2)]
    assert [(method.name, len(method.runs)) for method in scene_d] == [("paligemma", 1), ("expert", 1)]
    assert names(runs) == ["paligemma scene embedded", "paligemma scene D", "expert"]


@pytest.mark.parametrize("old", ["paligemma", PALIGEMMA, "checkpoint:vlm", "run"])
def test_a_user_renames_a_method_by_any_of_its_names(old):
    assert names([run_of(), run_of("expert", "expert", folder="e")], labels={old: "PaliGemma"}) == [
        "PaliGemma",
        "expert",
    ]


def test_a_name_that_several_methods_share_is_renamed_in_all_of_them():
    windows = [run_of(f"checkpoint:w{size}", memory=Memory(f"window:{size}")) for size in (1, 8)]
    assert names(windows, labels={"paligemma": "PG"}) == ["PG window:1", "PG window:8"]
    assert names(windows, labels={"paligemma window:8": "ours"}) == ["paligemma window:1", "ours"]
    assert names(windows, labels={"checkpoint:w1": "ours"}) == ["ours", "paligemma window:8"]


def test_a_name_that_does_not_exist_and_a_name_for_two_are_errors():
    runs = [run_of(), run_of("expert", "expert")]
    with pytest.raises(UnknownNameError, match=r"Unknown method 'paligema'\. Did you mean 'paligemma'"):
        methods(runs, {"paligema": "x"})
    with pytest.raises(ValueError, match="expected a new name that no other method has, got 'expert'"):
        methods(runs, {"paligemma": "expert"})
    with pytest.raises(ValueError, match="expected a name of its own for each method, got 'expert' twice"):
        methods(runs, {"checkpoint:vlm": "expert"})


def test_attributes_are_constant_or_differ():
    found = methods([run_of(), run_of(label="cnn (2.0M, trained here)", chunk_rule="first:6", train="ABC")])
    assert differing_attributes(found) == ("policy name", "size", "trained on", "chunk rule")
    assert constant_attributes(found)["origin"] == "trained here"
    assert "size" not in constant_attributes(found)


def test_labels_are_the_names_of_single_runs_with_a_mark_for_privileged_ones():
    assert labels([of_seed(0), of_seed(1), run_of("expert", "expert", privileged=True)]) == (
        "paligemma seed 0",
        "paligemma seed 1",
        "expert †",
    )
