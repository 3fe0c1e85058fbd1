"""Play tables that remember: what was simulated and drawn once is not simulated again.

The same state and actions give the same observations bit by bit, which tests of the play table hold. So tests in which
the expert does the same chain share its steps and images.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

import gymnasium
import numpy as np

from calvinbench.harness.rollout.workers import make_play_table


@dataclass(slots=True, eq=False)
class _Point:
    """What the world returned after a reset or an action, and what came after it."""

    returned: tuple
    cause: np.ndarray | dict
    before: "_Point | None" = None
    after: dict[bytes, "_Point"] = field(default_factory=dict)


class _Recording:
    """A simulator, with all that it returned so far."""

    def __init__(self, env):
        self.env = env
        self._starts: dict[bytes, _Point] = {}
        self._at: _Point | None = None

    def reset(self, options):
        state = {name: np.array(value, dtype=np.float64) for name, value in sorted(options.items())}
        key = b"".join(name.encode() + value.tobytes() for name, value in state.items())
        if key not in self._starts:
            self._starts[key] = _Point(self.env.reset(options=state), state)
            self._at = self._starts[key]
        return self._starts[key]

    def step(self, point, action):
        key = np.asarray(action).tobytes()
        if key not in point.after:
            self._go_to(point)
            self._at = None
            point.after[key] = self._at = _Point(self.env.step(action), np.array(action), point)
        return point.after[key]

    def _go_to(self, point):
        """Simulates again what leads to a point, unless the simulator is there."""
        if self._at is point:
            return
        if point.before is None:
            self.env.reset(options=point.cause)
        else:
            self._go_to(point.before)
            self.env.step(point.cause)


class RecordedWorld(gymnasium.Wrapper):
    """A world on a recording. Several may share one."""

    def __init__(self, recording):
        super().__init__(recording.env)
        self._recording, self._point = recording, None

    def reset(self, *, seed=None, options=None):
        self._point = self._recording.reset(options)
        return _copied(self._point.returned)

    def step(self, action):
        self._point = self._recording.step(self._point, action)
        return _copied(self._point.returned)

    def close(self):
        """Leaves the simulator open for the next world."""


class RecordedWorlds(ExitStack):
    """Makes play tables that remember. `make` is a `WorldFactory`; the simulators are closed at the end of `with`."""

    def __init__(self):
        super().__init__()
        self._recordings = {}

    def make(self, settings, traits):
        kind = (settings.scene, settings.simulation, traits.observation_keys, traits.action_convention)
        if kind not in self._recordings:
            world = make_play_table(settings, traits)
            self.callback(world.close)
            self._recordings[kind] = _Recording(world)
        return RecordedWorld(self._recordings[kind])


def _copied(returned):
    """What reset or step returned, safe from those who write into it."""
    observation, *between, info = returned
    return ({key: np.array(value) for key, value in observation.items()}, *between, dict(info))
