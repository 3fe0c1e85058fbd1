"""The Ray cluster: whether it answers, and whether it has the resources for a replica of the policy."""

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from calvinbench.harness.errors import RunFailedError

ADDRESS_VARIABLE = "RAY_ADDRESS"
_CONNECT_SECONDS = 5.0
"""Time for a machine to answer at its port. Ray itself would try for a minute or more."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RayOptions:
    """What a run asks of a cluster.

    Attributes:
        address: Of the cluster. None for the one in `RAY_ADDRESS` or on this machine; if there is none, one is started.
        cpus_per_replica: Processors for a replica and its worlds.
        gpus_per_replica: GPUs for a replica; a fraction shares a GPU.
    """

    address: str | None = None
    cpus_per_replica: float = 1.0
    gpus_per_replica: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus_per_replica <= 0 or self.gpus_per_replica < 0:
            raise ValueError(
                f"expected processors above 0 and GPUs of at least 0 for a replica, got {self.cpus_per_replica} and "
                f"{self.gpus_per_replica}."
            )

    def __str__(self) -> str:
        return f"{self.cpus_per_replica:g} processors and {self.gpus_per_replica:g} GPUs"


def require_ray() -> Any:
    """Imports Ray.

    Raises:
        RunFailedError: It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise RunFailedError("expected Ray for --executor ray, found none: pip install 'calvinbench[ray]'.") from error
    return ray


def require_answer(options: RayOptions) -> None:
    """Raises an error within seconds if nothing answers at an address HOST:PORT. Ray would try for minutes.

    Raises:
        RunFailedError: Nothing answers.
    """
    address = options.address or os.environ.get(ADDRESS_VARIABLE) or ""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # such as `auto`, which Ray handles at once
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def connect(ray: Any, options: RayOptions) -> None:
    """Connects to the cluster, if this process has not yet.

    Raises:
        RunFailedError: There is none.
    """
    if ray.is_initialized():
        return
    require_answer(options)
    try:
        ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(options.address or "this machine", error) from error


def _no_cluster(address: str, error: Exception) -> RunFailedError:
    return RunFailedError(
        f"expected a Ray cluster at '{address}', got: {error}. Check the address, or start one with: ray start --head"
    )


def require_room(ray: Any, options: RayOptions, num_replicas: int) -> None:
    """Raises an error if no node can hold a replica, and warns if the cluster cannot hold all replicas at once.

    Raises:
        RunFailedError: No node has the resources for a replica, so that it would wait forever.
    """
    nodes = [_Node.read(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    num_places = sum(node.num_places(options) for node in nodes)
    if num_places == 0:
        raise RunFailedError(
            f"expected a node with {options} for a replica, got a cluster of {_listed(nodes)}. Lower "
            "--cpus-per-replica or --gpus-per-replica, or start such a node first."
        )
    if num_places < num_replicas:
        _logger.warning(
            "%d replicas were asked for, and the cluster (%s) has room for %d of %s: the others wait.",
            *(num_replicas, _listed(nodes), num_places, options),
        )


def warn_of_waiting(ray: Any, options: RayOptions) -> None:
    """Warns that there is no record yet, and says what is free on the cluster."""
    free = _Node.read(ray.available_resources())
    _logger.warning(
        "no replica has sent a chain yet: each takes %s, and the cluster has %s free. Others may be using the cluster, "
        "or the policy takes long to load, or its first chain takes long.",
        *(options, free),
    )


@dataclass(frozen=True, slots=True)
class _Node:
    """The resources of a machine."""

    num_cpus: float
    num_gpus: float

    @classmethod
    def read(cls, resources: dict[str, Any]) -> "_Node":
        return cls(float(resources.get("CPU", 0.0)), float(resources.get("GPU", 0.0)))

    def __str__(self) -> str:
        return f"{self.num_cpus:g} processors and {self.num_gpus:g} GPUs"

    def num_places(self, options: RayOptions) -> int:
        """How many replicas it can hold at once."""
        places = self.num_cpus / options.cpus_per_replica
        if options.gpus_per_replica:
            places = min(places, self.num_gpus / options.gpus_per_replica)
        return int(places + 1e-9)  # three times a third must give one


def _listed(nodes: Sequence[_Node]) -> str:
    found = "; ".join(f"{nodes.count(node)} with {node}" for node in dict.fromkeys(nodes) if node.num_cpus)
    return found or "no node with processors"
