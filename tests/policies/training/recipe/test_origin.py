"""A path in a policy's spec stands for what lies there."""

import json

import pytest
import torch

from calvinbench.policies.training.recipe.origin import digest_of_weights, policy_origin, weights_folder, without_paths


def origin(spec, digest="d"):
    return policy_origin(spec, lambda: digest)


def test_names_stay_and_folders_are_their_weights(tmp_path):
    assert origin("untrained:kosmos2,vlm=published,seed=3") == "untrained:kosmos2,vlm=published,seed=3"
    assert origin("untrained:kosmos2,vlm=org/name") == "untrained:kosmos2,vlm=org/name"
    assert origin("untrained:hf:org/name") == "untrained:hf:org/name"
    assert origin("checkpoint:cnn") == "checkpoint:cnn"
    assert origin(f"untrained:kosmos2,vlm={tmp_path},seed=3") == "untrained:kosmos2,vlm=sha256-d,seed=3"
    assert origin(f"untrained:hf:{tmp_path}") == "untrained:hf:sha256-d"
    assert origin(f"checkpoint:{tmp_path}") == "checkpoint:sha256-d"
    assert weights_folder(f"untrained:hf:{tmp_path}") == str(tmp_path)
    assert weights_folder("untrained:cnn") is None


def test_a_file_is_what_it_says_whatever_its_name_and_layout(tmp_path):
    first, second, third = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    first.write_text('{"x": 1, "y": 2}')
    second.write_text(json.dumps({"y": 2, "x": 1}, indent=3))
    third.write_text('{"x": 1, "y": 3}')
    digests = [origin(f"untrained:cnn,size={file}") for file in (first, second, third)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_weight_changes_the_digest(dtype):
    model = torch.nn.Linear(3, 2).to(dtype)
    before = digest_of_weights(model)
    assert digest_of_weights(model) == before
    with torch.no_grad():
        model.weight[0, 0] += 1
    assert digest_of_weights(model) != before


def test_without_places_two_specs_differ_by_names_alone():
    assert without_paths("untrained:kosmos2,vlm=/a,seed=1") == without_paths("untrained:kosmos2,vlm=/b,seed=1")
    assert without_paths("untrained:hf:/a") == without_paths("untrained:hf:/b")
    assert without_paths("untrained:kosmos2,vlm=/a") != without_paths("untrained:paligemma,vlm=/a")
    assert without_paths("untrained:kosmos2,seed=1") != without_paths("untrained:kosmos2,seed=2")
