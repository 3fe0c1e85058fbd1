"""`calvinbench train`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from calvinbench.harness.errors import RunFailedError
from calvinbench.harness.verbs.console import DONE, print_json, standard_output_for_results, tell

if TYPE_CHECKING:
    from calvinbench.policies.training.preparation import Training


def _flag(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


_Number = Annotated[float | None, _flag("X")]
_Count = Annotated[int | None, _flag("N")]
_Switch = Annotated[Literal["true", "false"] | None, _flag("{true,false}")]


@dataclass(frozen=True, slots=True)
class Train:
    """Train a policy on demonstrations; the same command again goes on where it was stopped.

    Flags are laid over the configuration, whose keys have the same names with underscores.
    """

    configuration: Annotated[tyro.conf.Positional[str | None], _flag("[CONFIGURATION]")] = None
    """A shipped configuration's name (`calvinbench list configurations`), or the path of a YAML file."""
    policy: Annotated[str | None, _flag("SPEC")] = None
    """What is trained: untrained:BACKBONE,... or checkpoint:FOLDER, as `run --policy` spells it."""
    data: Annotated[Path | None, _flag("DIR")] = None
    """The data set's folder, from `calvinbench record` or in CALVIN's layout."""
    out: Annotated[Path | None, _flag("DIR")] = None
    """Where checkpoint/, best/, losses.csv, figures and the state to go on from are written."""
    tasks: Annotated[tuple[str, ...] | None, _flag("TASK ...")] = None
    """Tasks to train on. Default: all that the data set has."""
    paraphrases: _Switch = None
    """Whether each window gets one of its task's sentences at random. Default: true."""
    learning_rate: _Number = None
    """After warm-up. Default: 2e-5."""
    backbone_learning_rate: _Number = None
    """That of the VLM's weights. Default: the same."""
    weight_decay: _Number = None
    """AdamW's, on matrices. Default: 0."""
    precision: Annotated[Literal["fp32", "bf16", "fp16"] | None, _flag("{fp32,bf16,fp16}")] = None
    """Of mixed precision. Default: fp16, which needs a GPU."""
    batch_size: _Count = None
    """Windows of a forward pass on one process. Default: 8."""
    gradient_accumulation_steps: _Count = None
    """Forward passes of a step. Default: 4."""
    effective_batch_size: _Count = None
    """Refuses any other product of batch size, accumulation and processes."""
    warmup_epochs: _Number = None
    """Share of an epoch in which the rate rises. Default: 0.25."""
    warmup_steps: _Count = None
    """Steps added to it. Default: 0."""
    schedule: Annotated[Literal["constant", "cosine"] | None, _flag("{constant,cosine}")] = None
    """What the rate does after warm-up. Default: constant."""
    min_learning_rate_scale: _Number = None
    """What is left of the rate at the end of a cosine. Default: 0."""
    max_gradient_norm: _Number = None
    """What gradients are clipped to. Default: no clipping."""
    max_epochs: _Count = None
    """Passes over the data. Default: 5."""
    max_steps: _Count = None
    """Optimiser steps at most. Default: no limit."""
    gripper_loss_ratio: _Number = None
    """Weight of the gripper's loss. Default: 0.01."""
    gripper_change_weight: _Number = None
    """Factor of the gripper's loss where its label changes. Default: 1."""
    window_size: _Count = None
    """Frames of a window. Default: 8."""
    window_stride: _Count = None
    """Frames between the starts of windows; 1 for RoboVLMs' epochs. Default: as many windows as cover the data once."""
    static_shift: _Count = None
    """Pixels of 200 by which the static camera's pictures are shifted at random. Default: 10."""
    gripper_shift: _Count = None
    """Pixels of 84 for the gripper camera's. Default: 4."""
    same_shift_in_window: _Switch = None
    """Whether all frames of a window are shifted alike. Default: true."""
    num_workers: _Count = None
    """Processes that read data ahead. Default: 0."""
    seed: _Count = None
    """What everything random is drawn from. Default: 0."""
    freeze_backbone: _Switch = None
    """Whether the VLM keeps its weights. Default: false."""
    train_vision: _Switch = None
    """Whether the vision tower is trained. Default: as the rest of the VLM."""
    train_connector: _Switch = None
    """Whether what lies between vision and language is trained. Default: as the rest of the VLM."""
    train_text_embedding: _Switch = None
    """Whether the table of tokens is trained. Default: as the rest of the VLM."""
    lora_enable: _Switch = None
    """Whether the language model is trained by low-rank adapters. Default: false."""
    lora_r: _Count = None
    """Rank of the adapters. Default: 64."""
    lora_alpha: _Count = None
    """Their scale times the rank. Default: 16."""
    lora_dropout: _Number = None
    """Before them. Default: 0.05."""
    lora_bias: Annotated[Literal["none", "all", "lora_only"] | None, _flag("{none,all,lora_only}")] = None
    """Which biases of the language model are trained too. Default: none."""
    gradient_checkpointing: _Switch = None
    """Whether layers are computed again in the backward pass instead of kept. Default: false."""
    log_every: _Count = None
    """Steps between lines of losses.csv. Default: 20."""
    save_every: _Count = None
    """Steps between checkpoints, each with a state to go on from. Default: 500."""
    validate_every: _Count = None
    """Steps between validation losses, 0 for none. Default: 500."""
    validation_windows: _Count = None
    """Windows of a validation at most. Default: 256."""
    evaluate_every: _Count = None
    """Steps between chains that are run with the checkpoint, 0 for none. Default: 0."""
    evaluate_chains: _Count = None
    """How many of the published chains. Default: 20."""
    evaluate_worlds: _Count = None
    """Worlds stepped at once. Default: 1."""
    evaluate_scene: Annotated[str | None, _flag("{embedded,A,B,C,D}")] = None
    """The scene that they are run on. Default: that of the data, where it is known and but one."""
    calvin_env: Annotated[Path | None, _flag("DIR")] = None
    """Checkout of calvin_env, for CALVIN's scenes. Default: CALVIN_ENV_ROOT, or as installed."""
    accept_changed_data: _Switch = None
    """Whether a training goes on with data that changed since it began. Default: false."""
    device: Annotated[Literal["auto", "cpu"] | None, _flag("{auto,cpu}")] = None
    """auto takes a GPU where torch has one; `accelerate launch` starts a process for each of several. Default: auto."""
    smoke: bool = False
    """Take 4 small steps, to see that policy, data and machine work together. Other flags keep what they say; what
    would conflict is left out, and published weights are replaced by small random ones."""
    json: bool = False
    """Print one JSON object instead of words."""

    def execute(self) -> int:
        """Trains, and tells where the checkpoint is."""
        from calvinbench.harness.training_call import TrainingCallError, make_call, read_configuration
        from calvinbench.harness.training_data import require_data, require_policy

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
        from calvinbench.harness.training import train
        from calvinbench.policies.training.failures import TrainingError

        try:
            with standard_output_for_results():
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
        from calvinbench.policies.training.trainer import find_checkpoint

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
