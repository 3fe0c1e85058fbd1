"""Names of published OpenFlamingo weights, and ours for the same tensors.

The published names are those of the modules in OpenFlamingo's flamingo.py, flamingo_lm.py and helpers.py. Which of them
its training saves follows from `filter_state_dict_to_trainable` in its train_utils.py (all at 655f693).
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from calvinbench.policies.backbones.weights.sources import BackboneSourceError

CHECKPOINT = "checkpoint.pt"
"""The file that OpenFlamingo published."""
MPT_REASON = (
    "OpenFlamingo on MPT is not supported: MPT-1B normalises queries and keys (`qk_ln`). transformers' MptConfig has "
    "this setting, but its model ignores it, so that features would be wrong. Use OpenFlamingo-4B-vitl-rpj3b."
)

_LAYER = r"lang_encoder\.gpt_neox\.layers\.(\d+)\."
_OURS = (
    (r"^perceiver\.layers\.(\d+)\.0\.", r"resampler.blocks.\1.attention."),
    (r"^perceiver\.layers\.(\d+)\.1\.", r"resampler.blocks.\1.feed_forward."),
    (r"^perceiver\.", "resampler."),
    (rf"^{_LAYER}gated_cross_attn_layer\.", r"cross_attention.\1."),
    (r"^lang_encoder\.gpt_neox\.embed_in\.", "language_model.embed_in."),
    (r"\.norm_media\.", ".patch_norm."),
    (r"\.norm_latents\.", ".latent_norm."),
    (r"\.to_q\.", ".query."),
    (r"\.to_kv\.", ".key_value."),
    (r"\.to_out\.", ".output."),
    (r"^(cross_attention\.\d+\.)attn\.", r"\1attention."),
    (r"^(cross_attention\.\d+\.)ff\.", r"\1feed_forward."),
    (r"\.attn_gate$", ".attention_gate"),
    (r"\.ff_gate$", ".feed_forward_gate"),
)
"""Published names, each followed by ours."""
_TRAINED = re.compile(r"(resampler|cross_attention)\.|language_model\.embed_in\.weight$")
_NEEDLESS = re.compile(
    r"lang_encoder\.(embed_out|lm_head)\.weight"
    rf"|{_LAYER}(decoder_layer\.)?attention\.(bias|masked_bias|rotary_emb\.inv_freq)"
    r"|lang_encoder\.gpt_neox\.rotary_emb\.inv_freq"
)
"""The language-modelling head, which no policy needs, and buffers that are computed."""


def our_names(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that OpenFlamingo trained, by our names.

    Args:
        published: The weights by published names, which may begin with `module.`.

    Raises:
        BackboneSourceError: A name does not belong to OpenFlamingo on GPT-NeoX.
    """
    ours: dict[str, Tensor] = {}
    unknown = []
    for published_name, tensor in published.items():
        name = published_name.removeprefix("module.")
        if _NEEDLESS.fullmatch(name):
            continue
        for pattern, replacement in _OURS:
            name = re.sub(pattern, replacement, name)
        if _TRAINED.match(name):
            ours[name] = tensor
        else:
            unknown.append(published_name)
    if unknown:
        is_mpt = any("lang_encoder.transformer." in name for name in unknown)
        raise BackboneSourceError(
            f"expected in {CHECKPOINT} resampler, cross-attention and tokens of OpenFlamingo on GPT-NeoX, got also "
            f"{few_of(unknown)}. "
            + (MPT_REASON if is_mpt else "It belongs to another model, or has more than the trained weights.")
        )
    return ours


def require_same_names(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raises an error for weights that do not fit a model in every tensor.

    Args:
        weights: The weights by our names.
        expected: The tensors of the model.
    """
    missing = [name for name in expected if name not in weights]
    left = [name for name in weights if name not in expected]
    misshapen = [
        f"{name} {tuple(tensor.shape)} for {tuple(expected[name].shape)}"
        for name, tensor in weights.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if missing or left or misshapen:
        raise BackboneSourceError(
            f"expected {CHECKPOINT} to fit the language model and the vision tower beside it, but some weights do not. "
            f"Missing {few_of(missing)}, left over {few_of(left)}, of another shape {few_of(misshapen)}. Use parts "
            "that were published together."
        )


def few_of(names: Iterable[object]) -> str:
    """The first of many names, for a message."""
    shown = sorted(str(name) for name in names)
    return (", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")) or "none"
