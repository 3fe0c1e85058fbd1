"""Which parts of a policy are trained, as settings. Imports no torch, so that a command can be checked at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainableParts:
    """What of the model is trained. [LRN], where it is read, and the head always are.

    The names are those of RoboVLMs' `train_setup`, and `train_connector` beside them.

    Attributes:
        freeze_backbone: Whether the VLM keeps its weights; what follows takes precedence for its own part.
        train_vision: Whether the vision tower is trained; None: as the rest of the VLM.
        train_connector: Whether what lies between vision and language is trained; None: as the rest of the VLM.
        train_text_embedding: Whether the table of tokens is trained; None: as the rest of the VLM.
        lora_enable: Whether the language model is trained by low-rank adapters (peft) beside its frozen weights. The
            other parts follow their own settings, and are frozen where those are None.
        lora_r: Rank of the adapters.
        lora_alpha: Their scale times the rank.
        lora_dropout: Before them, in train mode.
        lora_bias: `"none"`, or `"all"` or `"lora_only"` to train biases of the language model too.
        gradient_checkpointing: Whether layers are computed again in the backward pass instead of kept.

    Raises:
        ValueError: A number is out of its range.
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
                "expected lora_enable or freeze_backbone, got both: adapters train the language model beside its "
                "frozen weights. Leave freeze_backbone out; the VLM's other parts are frozen by themselves."
            )
