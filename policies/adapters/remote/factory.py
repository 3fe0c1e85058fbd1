"""`ws://host:port`: from a policy spec to the policy of a server."""

import os

from calvinbench.policies.adapters.remote.connection import PolicyConnection
from calvinbench.policies.adapters.remote.keys import read_keys, sent_keys
from calvinbench.policies.adapters.remote.policy import RemotePolicy, RemoteUsage
from calvinbench.policies.adapters.remote.settings import RemoteSettings
from calvinbench.policies.spec import PolicySpecError, require_argument


def make_remote_policy(
    argument: str | None,
    settings: RemoteSettings = RemoteSettings(),  # noqa: B008  frozen
) -> RemotePolicy:
    """Makes `ws://host:port`.

    Args:
        argument: `//host:port`, followed by a path if the server needs one.
        settings: What is sent to the server and how its answers are read.

    Raises:
        PolicySpecError: A setting cannot be used.
        RemotePolicyError: The server cannot be reached.
    """
    place = require_argument("ws", argument, "//host:port")
    if not place.startswith("//") or len(place) < 3:
        raise PolicySpecError(f"expected an address ws://host:port, got 'ws:{place}'.")
    if settings.chunk_rule.kind != "first":
        raise PolicySpecError(f"expected chunk rule first or first:K for a remote policy, got '{settings.chunk_rule}'.")
    usage = RemoteUsage(
        keys=sent_keys(read_keys(settings.keys), settings.proprioception),
        action_convention=settings.actions,
        num_executed=settings.chunk_rule.num_executed,
        image_size=settings.image_size,
        label=settings.label or f"remote {place.removeprefix('//')}",
        gripper=settings.gripper,
        uses_proprioception=bool(settings.proprioception),
    )
    connection = PolicyConnection(
        f"{'wss' if settings.secure else 'ws'}:{place}",
        settings.timeout,
        settings.connect_timeout,
        _api_key(settings.api_key_env),
    )
    return RemotePolicy(connection, usage)


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise PolicySpecError(
            f"expected the environment variable {variable} to hold the policy server's key, as api_key_env says, found "
            f"{'an empty one' if variable in os.environ else 'none'}. Set it on each machine that runs the policy."
        )
    return os.environ[variable]
