"""A `VLMLSTM` as a policy: numpy in and out, eval mode, one frame a step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import override

from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.backbones.images.preprocessing import CameraImages
from calvinbench.policies.backbones.names import HUB_PREFIX
from calvinbench.policies.batch import require_batch, require_rows
from calvinbench.policies.chunk_rule import ChunkRule
from calvinbench.policies.heads.actions import POSE_DIM
from calvinbench.policies.heads.head import HeadState
from calvinbench.policies.learned.chunks import ChunkExecutor, ChunkState
from calvinbench.policies.learned.memory import make_memory
from calvinbench.policies.learned.policy_config import PolicyConfig
from calvinbench.policies.learned.sizes import size_in_words
from calvinbench.policies.learned.usage import Usage
from calvinbench.policies.learned.vlm_lstm import VLMLSTM
from calvinbench.policies.looking import require_rendered
from calvinbench.policies.policy import BatchedPolicy, Decision, PolicyTraits, TrainedOn


@dataclass(frozen=True, slots=True)
class LearnedState:
    """The memory of B worlds: features or the head's state, and predicted actions that are not executed yet."""

    memory: HeadState
    chunks: ChunkState

    @property
    def batch_size(self) -> int:
        """Number of worlds."""
        return self.chunks.batch_size


class VLMLSTMPolicy(BatchedPolicy):
    """Sees one or both cameras and the instruction, and the robot's state if the model uses proprioception.

    The world accepts every action as it is: the pose is in [-1, 1], the gripper exactly -1 or +1.
    """

    def __init__(
        self,
        model: VLMLSTM,
        config: PolicyConfig,
        usage: Usage | None = None,
        digest: str | None = None,
        trained_on: TrainedOn | None = None,
    ) -> None:
        """Places the model as the usage says and puts it into eval mode.

        Args:
            model: The model.
            config: Its settings.
            usage: Where and how it runs; None leaves it where it is.
            digest: SHA-256 of the weights, for the record.
            trained_on: What it was trained on, for the record.

        Raises:
            ValueError: The head cannot have this memory, or the chunk rule executes more actions than a chunk has.
        """
        if usage is not None:
            model.place(usage.device, usage.dtype)
        self._model = model.eval()
        self._config = config
        self._memory = make_memory(config.memory.span, model.head)
        self._executor = ChunkExecutor(ChunkRule.parse(config.chunk_rule), model.head.config.chunk_length)
        if usage is not None and usage.compiled:
            model.backbone.compile_parts()
            model.head.compile()
        self._traits = PolicyTraits(
            label=f"{_name(model, config)} ({size_in_words(model.num_parameters)}, {config.origin})",
            action_convention=ActionConvention.REL_ACTIONS,
            observation_keys=(
                *(f"rgb_{camera}" for camera in config.backbone_settings.cameras),
                *(("robot_obs",) if config.proprioception else ()),
            ),
            chunk_length=model.head.config.chunk_length,
            chunk_rule=config.chunk_rule,
            memory=config.memory,
            weights_digest=digest,
            trained_on=trained_on,
        )

    @property
    def model(self) -> VLMLSTM:
        """The model, in eval mode."""
        return self._model

    @property
    def config(self) -> PolicyConfig:
        """Its settings."""
        return self._config

    @property
    @override
    def traits(self) -> PolicyTraits:
        """Cameras in, relative actions out."""
        return self._traits

    @override
    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> LearnedState:
        """Nothing is seen and nothing is pending. The policy draws nothing at random."""
        return LearnedState(self._memory.initial_state(batch_size), self._executor.initial_state(batch_size))

    @override
    def reset_state(self, state: LearnedState, rows: Bool[np.ndarray, " B"]) -> LearnedState:
        """The state in which the marked worlds have seen nothing. Their pending actions are dropped."""
        require_rows(rows, state.batch_size)
        marks = torch.as_tensor(rows)
        return LearnedState(self._memory.forget(state.memory, marks), self._executor.forget(state.chunks, marks))

    @override
    def put_state(self, state: LearnedState, rows: Bool[np.ndarray, " B"], part: LearnedState) -> LearnedState:
        require_rows(rows, state.batch_size)
        marks = torch.as_tensor(rows)
        return LearnedState(state.memory.put(marks, part.memory), state.chunks.put(marks, part.chunks))

    @override
    def expect(self, instructions: Sequence[str]) -> None:
        """From now on every batch of text is as long as the longest of these sentences."""
        self._model.backbone.expect(instructions)

    @override
    @torch.inference_mode()
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: LearnedState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """One action a world. A world that needs a prediction passes its frame through the VLM and the head.

        Images of other worlds are not looked at.

        Raises:
            NotRenderedError: The images of a world that needs a prediction are left out.
            ValueError: A camera's images are missing or have a wrong shape, an instruction is empty, or images,
                instructions and state are for different numbers of worlds.
            TypeError: Images are not uint8.
        """
        asked = self._executor.needs_prediction(state.chunks)
        chunks, memory = torch.empty(0, *self._chunk_shape), state.memory
        if bool(asked.any()):
            require_rendered(observations, asked.numpy())
            self._require_keys(observations)
            images, robot_obs = self._images(observations), self._robot_obs(observations)
            require_batch("a state", state.batch_size, images.batch_shape[0])
            chunks, memory = self._predict(images, instructions, state.memory, asked, robot_obs)
        else:
            require_batch("a state", state.batch_size, len(instructions))
        actions, pending = self._executor.advance(state.chunks, chunks)
        return Decision(actions.double().cpu().numpy(), LearnedState(memory, pending))

    def looks_next(self, state: LearnedState) -> Bool[np.ndarray, " B"]:
        """The worlds that need a new chunk, see `looking.LooksAhead`."""
        marks: Bool[np.ndarray, " B"] = self._executor.needs_prediction(state.chunks).numpy()
        return marks

    def predict(
        self,
        images: CameraImages,
        instructions: Sequence[str],
        memory: HeadState,
        robot_obs: Float[Tensor, "B 15"] | None = None,
    ) -> tuple[Float[Tensor, "B chunk_length 7"], HeadState]:
        """The chunks for one frame a world, in numbers of the action, and the next memory.

        Args:
            images: With one leading axis (B).
            instructions: One sentence a world.
            memory: The memory after the previous step.
            robot_obs: State of the robot, for a model with proprioception.
        """
        output = self._memory.step(self._model.encode(images, instructions, robot_obs), memory)
        return self._in_action_numbers(output.chunks), output.state

    def _predict(
        self,
        images: CameraImages,
        instructions: Sequence[str],
        memory: HeadState,
        asked: Bool[Tensor, " B"],
        robot_obs: Float[Tensor, "B 15"] | None,
    ) -> tuple[Float[Tensor, "num_asked chunk_length 7"], HeadState]:
        """Chunks for the rows that need one. The memory of the other rows does not change."""
        if bool(asked.all()):
            return self.predict(images, instructions, memory, robot_obs)
        if self._model.backbone.expected_length:  # the same shape, whichever rows need one
            chunks, predicted = self.predict(images, instructions, memory, robot_obs)
            return chunks[asked.to(chunks.device)], memory.put(asked, predicted.take(asked))
        rows = asked.nonzero().flatten()
        sentences = [instructions[int(row)] for row in rows]
        states = None if robot_obs is None else robot_obs[rows]
        chunks, part = self.predict(images.take(rows), sentences, memory.take(asked), states)
        return chunks, memory.put(asked, part)

    @property
    def _chunk_shape(self) -> tuple[int, int]:
        return self._model.head.config.chunk_length, POSE_DIM + 1

    def _in_action_numbers(self, chunks: Float[Tensor, "B K 7"]) -> Float[Tensor, "B K 7"]:
        """The chunks with their poses scaled to the pose's range. The gripper's logit stays."""
        exact = chunks.cpu().double()  # in this order: not every device has 64 bits
        pose = self._config.pose_range.to_action(exact[..., :POSE_DIM])
        return torch.cat([pose, exact[..., POSE_DIM:]], dim=-1)

    def _require_keys(self, observations: Observation) -> None:
        """Raises an error for an observation that lacks what the model reads."""
        wanted = self._traits.observation_keys
        missing = [key for key in wanted if getattr(observations, key) is None]
        if missing:
            raise ValueError(
                f"expected an observation with {' and '.join(map(repr, wanted))}, got none of {missing}. "
                "Pass everything that traits.observation_keys names."
            )

    def _images(self, observations: Observation) -> CameraImages:
        """The cameras' images as tensors."""
        cameras = self._config.backbone_settings.cameras
        return CameraImages(**{camera: torch.tensor(getattr(observations, f"rgb_{camera}")) for camera in cameras})

    def _robot_obs(self, observations: Observation) -> Float[Tensor, "B 15"] | None:
        """The robot's state for a model with proprioception, otherwise None."""
        if not self._config.proprioception:
            return None
        return torch.as_tensor(observations.robot_obs).to(self._model.lrn.embedding)


def _name(model: VLMLSTM, config: PolicyConfig) -> str:
    """The backbone's name. A user's own backbone has the name of its class, not its import string."""
    is_own = ":" in config.backbone and not config.backbone.startswith(HUB_PREFIX)
    return model.backbone.name if is_own else config.backbone
