"""`calvinbench train`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from calvinbench.harness.command_line.console import DONE, print_json, standard_output_for_results, tell
from calvinbench.harness.command_line.defaults import with_defaults_of
from calvinbench.harness.command_line.usage import Example, Usage
from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.evaluation.stopping import stopped_as_by_ctrl_c
from calvinbench.harness.training.call import TrainingCall, TrainingCallError, make_call, read_configuration
from calvinbench.policies.learned.trainable_parts import TrainableParts
from calvinbench.policies.training.optimization import OptimizationSettings
from calvinbench.policies.training.settings import TrainingSettings

if TYPE_CHECKING:
    from calvinbench.policies.training.preparation import Training


def _flag(metavar: str, default: str = "") -> Any:
    """A flag's metavar, and its default as text, for flags without a default value."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})" if default else "")


_Number = Annotated[float | None, _flag("X")]
_Count = Annotated[int | None, _flag("N")]
_Switch = Annotated[Literal["true", "false"] | None, _flag("{true,false}")]


@dataclass(frozen=True, slots=True)
@with_defaults_of(TrainingSettings, TrainableParts, OptimizationSettings, TrainingCall)
class Train:
    """Train a policy on demonstrations. After an interruption, run the same command again to resume.

    A configuration's keys have the names of the flags, with underscores. Flags take precedence over them.
    """

    USAGE: ClassVar[Usage] = Usage(
        examples=(
            Example("cnn --data demonstrations --out trained", "train a small configuration that ships, for a CPU"),
            Example(
                "cnn --data demonstrations --out trained --max-steps 2000",
                "train for fewer steps than the configuration says",
            ),
            Example(
                "--policy untrained:kosmos2 --data demonstrations --out trained --precision fp32",
                "train without a configuration",
            ),
        ),
        headings={
            "What is trained": ("configuration", "policy", "data", "tasks", "paraphrases", "out", "json"),
            "Length and batches": (
                *("max_steps", "max_epochs", "batch_size", "gradient_accumulation_steps", "effective_batch_size"),
                *("window_size", "window_stride"),
            ),
            "Optimiser": (
                *("learning_rate", "backbone_learning_rate", "weight_decay", "schedule", "min_learning_rate_scale"),
                *("warmup_steps", "warmup_epochs", "max_gradient_norm", "gripper_loss_ratio", "gripper_change_weight"),
            ),
            "Image augmentation": ("static_shift", "gripper_shift", "same_shift_in_window"),
            "Which parts are trained": (
                *("freeze_backbone", "train_vision", "train_connector", "train_text_embedding"),
                *("lora_enable", "lora_r", "lora_alpha", "lora_dropout", "lora_bias"),
            ),
            "Logs, checkpoints and validation": ("log_every", "save_every", "validate_every", "validation_windows"),
            "Evaluation while training": (
                *("evaluate_every", "evaluate_chains", "evaluate_worlds", "evaluate_scene", "calvin_env"),
            ),
            "Machine": ("device", "precision", "gradient_checkpointing", "num_workers", "seed"),
        },
    )

    configuration: Annotated[tyro.conf.Positional[str | None], _flag("[CONFIGURATION]")] = None
    """A shipped configuration's name (`calvinbench list configurations`), or the path of a YAML file."""
    policy: Annotated[str | None, _flag("SPEC")] = None
    """Policy to train: untrained:BACKBONE[,key=value...], or checkpoint:FOLDER to start from its weights."""
    data: Annotated[Path | None, _flag("DIR")] = None
    """Folder of the data set, made by `calvinbench record` or in CALVIN's layout."""
    out: Annotated[Path | None, _flag("DIR")] = None
    """Output folder: checkpoint/, best/, losses.csv, figures, and the state that training resumes from."""
    tasks: Annotated[tuple[str, ...] | None, _flag("TASK ...", "all that the data set has")] = None
    """Tasks to train on."""
    data_scenes: Annotated[str | None, _flag("SCENES", "as the data set says; `calvinbench data check` shows them")] = (
        None
    )
    """Scenes of the data, such as D or ABC, if the data set names none or wrong ones. They are recorded in the
    checkpoint, and shown in the table's column Train."""
    paraphrases: _Switch = None
    """Whether each training sample gets a random one of its task's sentences."""
    learning_rate: _Number = None
    """Learning rate after warm-up."""
    backbone_learning_rate: Annotated[float | None, _flag("X", "as --learning-rate")] = None
    """Learning rate of the VLM."""
    weight_decay: _Number = None
    """Weight decay of AdamW. It applies to matrices only."""
    precision: Annotated[Literal["fp32", "bf16", "fp16"] | None, _flag("{fp32,bf16,fp16}")] = None
    """Precision of the forward pass. fp32: no mixed precision. fp16 needs a GPU."""
    batch_size: _Count = None
    """Number of windows in a forward pass of one process."""
    gradient_accumulation_steps: _Count = None
    """Number of forward passes for each optimiser step."""
    effective_batch_size: Annotated[int | None, _flag("N", "not checked")] = None
    """Required number of windows for each optimiser step: batch size x accumulation x processes. Another product raises
    an error."""
    warmup_epochs: _Number = None
    """Warm-up time in epochs, in which the learning rate rises from 0."""
    warmup_steps: _Count = None
    """Warm-up steps, in addition to --warmup-epochs."""
    schedule: Annotated[Literal["constant", "cosine"] | None, _flag("{constant,cosine}")] = None
    """Learning rate after warm-up. constant: it stays. cosine: it falls along a cosine until the end of training."""
    min_learning_rate_scale: _Number = None
    """With --schedule cosine: the final learning rate, as a share of --learning-rate."""
    max_gradient_norm: Annotated[float | None, _flag("X", "no clipping")] = None
    """Maximum norm of the gradient; a larger gradient is scaled down to it."""
    max_epochs: _Count = None
    """Maximum number of passes over the data."""
    max_steps: Annotated[int | None, _flag("N", "no limit")] = None
    """Maximum number of optimiser steps."""
    gripper_loss_ratio: _Number = None
    """Weight of the gripper's loss; the pose's loss has weight 1."""
    gripper_change_weight: _Number = None
    """Factor of the gripper's loss at steps where the gripper opens or closes."""
    window_size: _Count = None
    """Number of frames in a window, which is one training sample."""
    window_stride: Annotated[int | None, _flag("N", "as many windows as cover the data once")] = None
    """Number of frames between the starts of windows. 1 as in RoboVLMs."""
    static_shift: _Count = None
    """Maximum random shift of the static camera's images, in pixels of an image of 200 x 200."""
    gripper_shift: _Count = None
    """Maximum random shift of the gripper camera's images, in pixels of an image of 84 x 84."""
    same_shift_in_window: _Switch = None
    """Whether all frames of a window are shifted by the same amount."""
    num_workers: _Count = None
    """Number of processes that read data ahead."""
    seed: _Count = None
    """Random seed."""
    freeze_backbone: _Switch = None
    """Whether the VLM's weights stay unchanged."""
    train_vision: Annotated[Literal["true", "false"] | None, _flag("{true,false}", "as the rest of the VLM")] = None
    """Whether the VLM's vision tower is trained."""
    train_connector: Annotated[Literal["true", "false"] | None, _flag("{true,false}", "as the rest of the VLM")] = None
    """Whether the VLM's connector between vision and language is trained."""
    train_text_embedding: Annotated[
        Literal["true", "false"] | None, _flag("{true,false}", "as the rest of the VLM")
    ] = None
    """Whether the VLM's token embedding is trained."""
    lora_enable: _Switch = None
    """Whether the language model is trained by low-rank adapters (LoRA) instead of directly."""
    lora_r: _Count = None
    """With --lora-enable: rank of the adapters."""
    lora_alpha: _Count = None
    """With --lora-enable: the adapters are scaled by this number, divided by their rank."""
    lora_dropout: _Number = None
    """With --lora-enable: dropout before the adapters."""
    lora_bias: Annotated[Literal["none", "all", "lora_only"] | None, _flag("{none,all,lora_only}")] = None
    """With --lora-enable: which biases of the language model are trained too. lora_only: those of adapted layers."""
    gradient_checkpointing: _Switch = None
    """Whether activations are computed again in the backward pass. This takes time. It saves memory unless the peak is
    in the forward pass of a frozen vision tower, which keeps nothing."""
    log_every: _Count = None
    """Number of steps between lines of losses.csv."""
    save_every: _Count = None
    """Number of steps between checkpoints. Training can resume from each of them."""
    validate_every: _Count = None
    """Number of steps between validation losses; 0 for none."""
    validation_windows: _Count = None
    """Maximum number of windows for a validation loss."""
    evaluate_every: _Count = None
    """Number of steps between evaluations, which run chains with the current checkpoint; 0 for none. A multiple of
    --save-every."""
    evaluate_chains: _Count = None
    """Number of chains in an evaluation: the first N of the published ones."""
    evaluate_worlds: _Count = None
    """Number of worlds stepped at once in an evaluation. This does not affect results."""
    evaluate_scene: Annotated[
        str | None, _flag("{embedded,A,B,C,D}", "the scene of the data, if it is a single one")
    ] = None
    """Scene of evaluations."""
    calvin_env: Annotated[Path | None, _flag("DIR", "CALVIN_ENV_ROOT, or as installed")] = None
    """Checkout of calvin_env. CALVIN's scenes need it."""
    accept_changed_data: _Switch = None
    """Whether training resumes even if the data changed since it began."""
    device: Annotated[Literal["auto", "cpu"] | None, _flag("{auto,cpu}")] = None
    """auto: a GPU if torch finds one, otherwise the CPU. For several GPUs, start the command by `accelerate launch`."""
    smoke: bool = False
    """Test that policy, data and machine work together: take 4 small steps. Pretrained weights are replaced by small
    random ones. Flags that conflict with this are ignored."""
    json: bool = False
    """Print one JSON object instead of text."""

    def execute(self) -> int:
        """Trains, and prints where the checkpoint is."""
        from calvinbench.harness.training.data import require_data, require_policy

        said = {} if self.configuration is None else read_configuration(self.configuration)
        call = make_call(self._flags(), said, name=self.configuration, smoke=self.smoke)
        require_policy(call)
        require_data(call)
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise TrainingCallError(
                "training needs the package accelerate, which is not installed: pip install 'calvinbench[train]', or "
                "'.[train]' from a checkout."
            ) from error
        from calvinbench.harness.training.training import train
        from calvinbench.policies.training.failures import TrainingError

        try:
            with stopped_as_by_ctrl_c(), standard_output_for_results():
                training = train(call, tell)
        except TrainingError as error:
            raise RunFailedError(str(error)) from error
        if PartialState().is_main_process:
            self._show(training)
        return DONE

    def _flags(self) -> dict[str, Any]:
        """The values of the flags that were given."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        words = {"true": True, "false": False}
        return {
            name: str(value)
            if isinstance(value, Path)
            else words.get(value, value)
            if isinstance(value, str)
            else value
            for name, value in said.items()
            if value is not None and name not in ("configuration", "smoke", "json")
        }

    def _show(self, training: "Training") -> None:
        from dataclasses import asdict

        from calvinbench.policies.training.log import read_log
        from calvinbench.policies.training.saved_state import find_checkpoint

        out = training.settings.out
        last, checkpoint = read_log(out)[-1], find_checkpoint(out)
        if self.json:
            print_json({"out": str(out), "checkpoint": str(checkpoint), "last": asdict(last)})
            return
        print(
            f"Trained {last.step} steps, {last.frames} frames, {last.seconds / 60:.1f} minutes. Loss {last.loss:.4f}"
            + ("" if last.validation_loss is None else f", validation {last.validation_loss:.4f}")
            + f".\n{checkpoint}"
        )
        tell(f"To evaluate it: calvinbench run --policy checkpoint:{checkpoint}")
