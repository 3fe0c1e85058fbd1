"""The Ray cluster: whether it answers, and whether it has what a replica of the policy takes."""

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from calvinbench.harness.errors import RunFailedError

ADDRESS_VARIABLE = "RAY_ADDRESS"
_CONNECT_SECONDS = 5.0
"""How long a machine may take to answer at its port, before Ray itself tries for a minute or more."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RayOptions:
    """What a cluster is asked for.

    Attributes:
        address: Of the cluster; None for the one that `RAY_ADDRESS` or this machine knows, else one is started here.
        cpus_per_replica: Processors that a replica takes, its worlds' included.
        gpus_per_replica: GPUs that it takes; a fraction shares one.
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
    """The package.

    Raises:
        RunFailedError: It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise RunFailedError("expected Ray for --executor ray, found none: pip install 'calvinbench[ray]'.") from error
    return ray


def require_answer(options: RayOptions) -> None:
    """Refuses an address HOST:PORT at which nothing answers within seconds; Ray would try for minutes.

    Raises:
        RunFailedError: Nothing does.
    """
    address = options.address or os.environ.get(ADDRESS_VARIABLE) or ""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():  # `auto` and the like, which Ray answers at once
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
        f"expected a Ray cluster at '{address}', got: {error}. Look at the address, or start one by: ray start --head"
    )


def require_room(ray: Any, options: RayOptions, num_replicas: int) -> None:
    """Refuses what no node of the cluster has, and says so where not all replicas have room at once.

    Raises:
        RunFailedError: No node has what a replica takes: it would wait for ever.
    """
    nodes = [_Node.read(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    num_places = sum(node.num_places(options) for node in nodes)
    if num_places == 0:
        raise RunFailedError(
            f"expected a node with {options}, which a replica takes, got a cluster of {_in_words(nodes)}. Lower "
            "--cpus-per-replica or --gpus-per-replica, or start such a node first."
        )
    if num_places < num_replicas:
        _logger.warning(
            "%d replicas were asked for, and the cluster (%s) has room for %d of %s: the others wait for room.",
            *(num_replicas, _in_words(nodes), num_places, options),
        )


def warn_of_waiting(ray: Any, options: RayOptions) -> None:
    """Says that nothing has come yet, and what the cluster has free."""
    free = _Node.read(ray.available_resources())
    _logger.warning(
        "no replica has sent a chain yet: each takes %s, and the cluster has %s free. Others may use it, or the "
        "policy takes long to load, or its first chain long to run.",
        *(options, free),
    )


@dataclass(frozen=True, slots=True)
class _Node:
    """What a machine has for replicas."""

    num_cpus: float
    num_gpus: float

    @classmethod
    def read(cls, resources: dict[str, Any]) -> "_Node":
        return cls(float(resources.get("CPU", 0.0)), float(resources.get("GPU", 0.0)))

    def __str__(self) -> str:
        return f"{self.num_cpus:g} processors and {self.num_gpus:g} GPUs"

    def num_places(self, options: RayOptions) -> int:
        """How many replicas it can have at once."""
        places = self.num_cpus / options.cpus_per_replica
        if options.gpus_per_replica:
            places = min(places, self.num_gpus / options.gpus_per_replica)
        return int(places + 1e-9)  # three times a third is one


def _in_words(nodes: Sequence[_Node]) -> str:
    found = "; ".join(f"{nodes.count(node)} with {node}" for node in dict.fromkeys(nodes) if node.num_cpus)
    return found or "no node with processors"
