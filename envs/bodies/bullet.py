"""A headless Bullet simulation of its own, with pybullet's functions as methods."""

import functools
import weakref
from typing import Any, NoReturn, SupportsIndex

from calvinbench.envs.system.redirection import STDERR, redirected

with redirected(STDERR, None):  # pybullet prints its build time there when it is imported
    import pybullet


_CLOSED = "expected an open world, but it was closed. Make another one."


class BulletClient:
    """One simulation; `client.stepSimulation()` is `pybullet.stepSimulation(physicsClientId=...)`.

    `pybullet_utils.bullet_client` does the same, but it prints to standard output when it connects, which would break
    the JSON that `--json` prints there, and it looks up every function again at every call.
    """

    def __init__(self) -> None:
        """Connects.

        Raises:
            RuntimeError: Bullet has no room for another simulation (it holds about a thousand in a process).
        """
        self._connect()

    def _connect(self) -> None:
        self._id: int | None = pybullet.connect(pybullet.DIRECT)
        if self._id < 0:
            raise RuntimeError("expected a free Bullet simulation, got none. Close worlds that are no longer needed.")
        # A world that was not closed frees its simulation when Python collects it.
        self._disconnect = weakref.finalize(self, pybullet.disconnect, physicsClientId=self._id)

    @property
    def connection(self) -> int | None:
        """Changes when another simulation takes the place of this one, see `renew`; None when closed."""
        return None if self._id is None else id(self._disconnect)

    def renew(self) -> None:
        """Replaces the simulation by a new one, into which nothing was ever loaded.

        Raises:
            RuntimeError: The simulation is closed.
        """
        if self._id is None:
            raise RuntimeError(_CLOSED)
        self.close()
        self._connect()

    def __getattr__(self, name: str) -> Any:
        """A function of pybullet bound to this simulation, or one of its constants.

        Raises:
            RuntimeError: The simulation is closed.
        """
        attribute = getattr(pybullet, name)
        if self._id is None:
            raise RuntimeError(_CLOSED)
        if callable(attribute):
            attribute = functools.partial(attribute, physicsClientId=self._id)
        self.__dict__[name] = attribute
        return attribute

    def close(self) -> None:
        """Frees the simulation. Calling it twice is allowed."""
        self._disconnect()
        # Bullet gives this number to the next simulation, so nothing here may use it any more.
        self.__dict__ = {"_id": None, "_disconnect": self._disconnect}

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            "A simulation cannot be copied or pickled, or sent to another process. "
            "Make another world, and reset it to this one's robot_obs and scene_obs."
        )


def is_first_simulation_free() -> bool:
    """Whether no simulation of this process has Bullet's number 0, which pybullet's functions take by default."""
    return not pybullet.getConnectionInfo(0)["isConnected"]
