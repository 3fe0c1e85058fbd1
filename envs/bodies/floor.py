"""The floor of scenes that bring none."""

from typing import Any

from calvinbench.envs.scenes.scene import FLOOR_COLOUR, FLOOR_POSITION, FLOOR_SIZE_M


def load_floor(client: Any) -> None:
    """A light-coloured, flat floor that collides with bodies."""
    plane = client.createCollisionShape(client.GEOM_PLANE)
    slab = client.createVisualShape(
        client.GEOM_BOX,
        halfExtents=[edge / 2 for edge in FLOOR_SIZE_M],
        rgbaColor=[*FLOOR_COLOUR, 1],
        visualFramePosition=FLOOR_POSITION,
    )
    client.createMultiBody(0, plane, slab)
