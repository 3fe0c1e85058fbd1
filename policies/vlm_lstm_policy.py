"""A `VLMLSTM` as a policy: numpy in and out, eval mode, the first action of each chunk executed."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool

from calvinbench.envs.names import require_name
from calvinbench.envs.observation import ActionConvention, Observation
from calvinbench.envs.world_info import PrivilegedState
from calvinbench.policies.backbones.backbone import Pictures
from calvinbench.policies.backbones.registry import BACKBONES
from calvinbench.policies.lstm_head import TINY_HEAD, LSTMHeadConfig, LSTMState, to_actions
from calvinbench.policies.policy import Decision, Memory, PolicyTraits
from calvinbench.policies.spec import parse_integer, require_argument
from calvinbench.policies.vlm_lstm import VLMLSTM

DEFAULT_SEED = 0
MAX_SEED = 2**63 - 1
"""The largest that fits a signed number of 64 bits."""


class VLMLSTMPolicy:
    """Sees both cameras and the instruction, no proprioception.

    Pose outputs pass through tanh into [-1, 1] and the gripper's logit through its sign to exactly -1 or +1
    (`lstm_head.to_actions`), so that every action is one that the world accepts as it is.
    """

    def __init__(self, model: VLMLSTM, origin: str, memory_reset: str = "subtask") -> None:
        """Takes the model and puts it into eval mode.

        Args:
            model: The model.
            origin: Where the weights come from, for the label: `"untrained"`, `"trained here"`.
            memory_reset: When the LSTM's state is forgotten, `"subtask"` or `"chain"`.
        """
        self._model = model.eval()
        self._traits = PolicyTraits(
            label=f"{model.backbone.name} ({model.num_parameters / 1e6:.1f}M, {origin})",
            action_convention=ActionConvention.REL_ACTIONS,
            observation_keys=("rgb_static", "rgb_gripper"),
            chunk_length=model.head.config.chunk_length,
            chunk_rule="first",
            memory=Memory(span="unbounded", reset=memory_reset),
        )

    @property
    def model(self) -> VLMLSTM:
        """The model, in eval mode."""
        return self._model

    @property
    def traits(self) -> PolicyTraits:
        """Two cameras in, relative actions out, the LSTM's state kept."""
        return self._traits

    def initial_state(self, batch_size: int, seeds: Sequence[int] | None = None) -> LSTMState:
        """Zeros for every world; nothing here is drawn at random."""
        return self._model.head.initial_state(batch_size)

    def reset_state(self, state: LSTMState, rows: Bool[np.ndarray, " B"]) -> LSTMState:
        """Zeros for the marked worlds."""
        return state.forget(torch.as_tensor(rows))

    @torch.inference_mode()
    def act(
        self,
        observations: Observation,
        instructions: Sequence[str],
        state: LSTMState,
        privileged: Sequence[PrivilegedState] | None = None,
    ) -> Decision:
        """One frame of each world through the VLM, one step of the LSTM.

        Raises:
            ValueError: A camera's pictures are missing or have a wrong shape, an instruction is empty, or pictures,
                instructions and state are not of the same number of worlds.
            TypeError: Pictures are not uint8.
        """
        output = self._model.step(_pictures(observations), instructions, state)
        actions = to_actions(output.chunks[:, 0].double())
        return Decision(actions.cpu().numpy(), output.state)


def _pictures(observations: Observation) -> Pictures:
    """Both cameras' pictures as tensors."""
    static, gripper = observations.rgb_static, observations.rgb_gripper
    if static is None or gripper is None:
        missing = [camera for camera, picture in (("rgb_static", static), ("rgb_gripper", gripper)) if picture is None]
        raise ValueError(
            f"expected an observation with 'rgb_static' and 'rgb_gripper', got none of {missing}. "
            "Render what traits.observation_keys names."
        )
    return Pictures(torch.tensor(static), torch.tensor(gripper))


def make_untrained_policy(
    argument: str | None,
    *,
    seed: str = str(DEFAULT_SEED),
    hidden_dim: str = str(TINY_HEAD.hidden_dim),
    memory_reset: str = "subtask",
) -> VLMLSTMPolicy:
    """Makes `untrained:BACKBONE`: the architecture, small, with random weights.

    Args:
        argument: A backbone's name.
        seed: Where the weights come from; the label says it where it is not the default.
        hidden_dim: Width of the LSTM.
        memory_reset: When the LSTM's state is forgotten.

    Raises:
        UnknownNameError: There is no such backbone.
    """
    name = require_argument("untrained", argument, f"a backbone ({', '.join(BACKBONES)})")
    seed_number = parse_integer("seed", seed, minimum=0, maximum=MAX_SEED)
    head_config = LSTMHeadConfig(hidden_dim=parse_integer("hidden_dim", hidden_dim, minimum=1))
    generator = torch.Generator().manual_seed(seed_number)
    model = VLMLSTM.tiny(require_name(name, BACKBONES, "backbone"), generator, head_config)
    origin = "untrained" if seed_number == DEFAULT_SEED else f"untrained, seed {seed_number}"
    return VLMLSTMPolicy(model, origin=origin, memory_reset=memory_reset)
