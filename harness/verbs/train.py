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
    """A flag's metavar, and what happens without it where `with_defaults_of` finds no value."""
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
    """What is trained: untrained:BACKBONE,... or checkpoint:FOLDER, as `run --policy` spells it."""
    data: Annotated[Path | None, _flag("DIR")] = None
    """The data set's folder, from `calvinbench record` or in CALVIN's layout."""
    out: Annotated[Path | None, _flag("DIR")] = None
    """Output folder: checkpoint/, best/, losses.csv, figures, and the state that training resumes from."""
    tasks: Annotated[tuple[str, ...] | None, _flag("TASK ...", "all that the data set has")] = None
    """Tasks to train on."""
    data_scenes: Annotated[str | None, _flag("SCENES", "as the data set says, see `calvinbench data check`")] = None
    """The scenes that the data are of, such as D or ABC, for the record and the table's column Train."""
    paraphrases: _Switch = None
    """Whether each window gets one of its task's sentences at random."""
    learning_rate: _Number = None
    """Learning rate after warm-up."""
    backbone_learning_rate: Annotated[float | None, _flag("X", "as --learning-rate")] = None
    """Learning rate of the VLM's weights."""
    weight_decay: _Number = None
    """AdamW's weight decay, on matrices."""
    precision: Annotated[Literal["fp32", "bf16", "fp16"] | None, _flag("{fp32,bf16,fp16}")] = None
    """Mixed precision; fp16 needs a GPU."""
    batch_size: _Count = None
    """Windows in a forward pass of one process."""
    gradient_accumulation_steps: _Count = None
    """Forward passes in an optimiser step."""
    effective_batch_size: Annotated[int | None, _flag("N", "not checked")] = None
    """What batch size x accumulation x processes must be; any other product is an error."""
    warmup_epochs: _Number = None
    """Share of an epoch in which the learning rate rises."""
    warmup_steps: _Count = None
    """Warm-up steps, added to --warmup-epochs."""
    schedule: Annotated[Literal["constant", "cosine"] | None, _flag("{constant,cosine}")] = None
    """Learning rate after warm-up: constant, or a cosine towards its end."""
    min_learning_rate_scale: _Number = None
    """Share of the learning rate that is left at the end of a cosine."""
    max_gradient_norm: Annotated[float | None, _flag("X", "no clipping")] = None
    """Largest norm of the gradient; it is clipped above."""
    max_epochs: _Count = None
    """Passes over the data."""
    max_steps: Annotated[int | None, _flag("N", "no limit")] = None
    """Most optimiser steps."""
    gripper_loss_ratio: _Number = None
    """Weight of the gripper's loss beside the pose's."""
    gripper_change_weight: _Number = None
    """Factor of the gripper's loss where its label changes."""
    window_size: _Count = None
    """Frames in a window, a training sample."""
    window_stride: Annotated[int | None, _flag("N", "as many windows as cover the data once")] = None
    """Frames between the starts of windows; 1 for RoboVLMs' epochs."""
    static_shift: _Count = None
    """Pixels, of 200, by which the static camera's images are shifted at random."""
    gripper_shift: _Count = None
    """Pixels, of 84, by which the gripper camera's images are shifted at random."""
    same_shift_in_window: _Switch = None
    """Whether all frames of a window are shifted alike."""
    num_workers: _Count = None
    """Processes that read data ahead."""
    seed: _Count = None
    """Random seed."""
    freeze_backbone: _Switch = None
    """Whether the VLM keeps its weights."""
    train_vision: Annotated[Literal["true", "false"] | None, _flag("{true,false}", "as the rest of the VLM")] = None
    """Whether the vision tower is trained."""
    train_connector: Annotated[Literal["true", "false"] | None, _flag("{true,false}", "as the rest of the VLM")] = None
    """Whether the connector between vision and language is trained."""
    train_text_embedding: Annotated[
        Literal["true", "false"] | None, _flag("{true,false}", "as the rest of the VLM")
    ] = None
    """Whether the token embedding is trained."""
    lora_enable: _Switch = None
    """Whether the language model is trained by low-rank adapters."""
    lora_r: _Count = None
    """Rank of the low-rank adapters."""
    lora_alpha: _Count = None
    """Scale of the low-rank adapters, times their rank."""
    lora_dropout: _Number = None
    """Dropout before the low-rank adapters."""
    lora_bias: Annotated[Literal["none", "all", "lora_only"] | None, _flag("{none,all,lora_only}")] = None
    """Which biases of the language model are trained too."""
    gradient_checkpointing: _Switch = None
    """Whether layers are computed again in the backward pass instead of kept."""
    log_every: _Count = None
    """Steps between lines of losses.csv."""
    save_every: _Count = None
    """Steps between checkpoints, from each of which training can resume."""
    validate_every: _Count = None
    """Steps between validation losses, 0 for none."""
    validation_windows: _Count = None
    """Most windows of a validation."""
    evaluate_every: _Count = None
    """Steps between evaluations, which run chains with the checkpoint; 0 for none."""
    evaluate_chains: _Count = None
    """Chains of an evaluation: the first N of the published ones."""
    evaluate_worlds: _Count = None
    """Worlds stepped at once in an evaluation."""
    evaluate_scene: Annotated[
        str | None, _flag("{embedded,A,B,C,D}", "the scene of the data, if it is known and there is one only")
    ] = None
    """Scene of the evaluations."""
    calvin_env: Annotated[Path | None, _flag("DIR", "CALVIN_ENV_ROOT, or as installed")] = None
    """Checkout of calvin_env, for CALVIN's scenes."""
    accept_changed_data: _Switch = None
    """Whether training resumes although the data changed since it began."""
    device: Annotated[Literal["auto", "cpu"] | None, _flag("{auto,cpu}")] = None
    """auto takes a GPU where torch has one; `accelerate launch` starts a process for each of several."""
    smoke: bool = False
    """Take 4 small steps, to see that policy, data and machine work together. Other flags keep what they say; what
    would conflict is left out, and published weights are replaced by small random ones."""
    json: bool = False
    """Print one JSON object instead of words."""

    def execute(self) -> int:
        """Trains, and tells where the checkpoint is."""
        from calvinbench.harness.training.data import require_data, require_policy

        said = {} if self.configuration is None else read_configuration(self.configuration)
        call = make_call(self._flags(), said, name=self.configuration, smoke=self.smoke)
        require_policy(call)
        require_data(call)
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise TrainingCallError(
                "expected accelerate, with which training steps, found none: pip install 'calvinbench[train]', or "
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
        """What was said by flags."""
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
        tell(f"Run it: calvinbench run --policy checkpoint:{checkpoint}")
