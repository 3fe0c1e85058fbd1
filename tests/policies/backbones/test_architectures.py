"""Any architecture of transformers works under `hf:` or is refused by one error when it is made.

Numbers are made small by one rule for all, and the tokenizer has no marks around images. So a refusal may be due to
these, as for Qwen-VL, which `test_hub` makes whole; what counts is that no other error comes, and none comes later.
"""

import pytest

from support.tiny_architectures import NOT_MADE, WORKS, architectures, verdict

FEW = {
    "llava": WORKS,
    "aya_vision": WORKS,
    "blip": "refused: its parts are named otherwise: AttributeError: 'BlipConfig' object has no attribute 'image_token",
    "fuyu": "refused: its parts are named otherwise: AttributeError: 'FuyuConfig' object has no attribute 'vision_con",
    "ovis2": "refused: it has parts of which it is not known what they do: visual_embeddings_table",
    "idefics": "refused: expected a vision-language model, got IdeficsModel, which has no get_image_features",
}
NOT_WALKED = {"exaone4_5", "got_ocr2", "idefics2", "minimax_m3_vl", "evolla"}
"""Too slow, even when small."""


@pytest.mark.parametrize("model_type", FEW)
def test_some_architectures_work_and_others_are_refused_with_the_reason(model_type):
    assert verdict(model_type).startswith(FEW[model_type])


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(set(architectures()) - NOT_WALKED))
def test_every_architecture_works_or_is_refused_by_one_error(model_type):
    assert verdict(model_type).startswith((WORKS, "refused: ", NOT_MADE))
