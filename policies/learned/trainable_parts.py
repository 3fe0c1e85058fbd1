"""Which parts of a policy are trained, as settings. Imports no torch, so that an error is reported at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainableParts:
    """Which parts of the model are trained. The head is always trained, and so is [LRN] if it is read.

    The names are those of RoboVLMs' `train_setup`, with `train_connector` in addition.

    Attributes:
        freeze_backbone: Whether the VLM is frozen. The next three settings take precedence for their own part.
        train_vision: Whether the vision tower is trained; None for the same as the rest of the VLM.
        train_connector: Whether the layers between vision and language are trained; None for the same as the rest.
        train_text_embedding: Whether the token embeddings are trained; None for the same as the rest of the VLM.
        lora_enable: Whether the language model is frozen and low-rank adapters (peft) are trained. The other parts
            follow their own settings, and are frozen if those are None.
        lora_r: Rank of the adapters.
        lora_alpha: Scale of the adapters, times the rank.
        lora_dropout: Dropout before the adapters, in train mode.
        lora_bias: Which biases of the language model are trained too: `"none"`, `"all"` or `"lora_only"`.
        gradient_checkpointing: Whether layers are computed again in the backward pass. This saves memory unless the
            peak lies in the forward pass of a frozen vision tower, which keeps nothing.

    Raises:
        ValueError: A number is outside its limits.
    """

    freeze_backbone: bool = False
    train_vision: bool | None = None
    train_connector: bool | None = None
    train_text_embedding: bool | None = None
    lora_enable: bool = False
    lora_r: int = 64
    lora_alpha: int = 16
    lora_dropout: float = 0.05
    lora_bias: str = "none"
    gradient_checkpointing: bool = False

    def __post_init__(self) -> None:
        if self.lora_r < 1 or self.lora_alpha < 1:
            raise ValueError(f"expected lora_r and lora_alpha of at least 1, got {self.lora_r} and {self.lora_alpha}.")
        if not 0.0 <= self.lora_dropout < 1.0:
            raise ValueError(f"expected lora_dropout of at least 0 and below 1, got {self.lora_dropout}.")
        if self.lora_bias not in ("none", "all", "lora_only"):
            raise ValueError(f"expected lora_bias 'none', 'all' or 'lora_only', got '{self.lora_bias}'.")
        if self.lora_enable and self.freeze_backbone:
            raise ValueError(
                "expected lora_enable or freeze_backbone, got both: with adapters, the language model is trained and "
                "its own weights are frozen. Leave freeze_backbone out; the VLM's other parts are frozen anyway."
            )
