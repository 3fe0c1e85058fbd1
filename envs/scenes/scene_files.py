"""The files that a URDF refers to (meshes, materials, textures), and whether they are complete."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as Xml

from calvinbench.envs.scenes.calvin_checkout import INSTALL, CheckoutError

_LFS_POINTER = b"version https://git-lfs"
_PNG_BEGIN, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_STL_HEADER_BYTES, _STL_TRIANGLE_BYTES = 84, 50


def without_visuals(urdf: str) -> str:
    """A URDF without its visual elements.

    Bullet reads the visual meshes of a body when it loads it, and keeps them for its own renderers: 90 MB and 30 ms for
    CALVIN's arm. Our own renderer does not need them.
    """
    robot = Xml.fromstring(urdf)  # noqa: S314  (assets that the user chose)
    for link in robot.iter("link"):
        for visual in link.findall("visual"):
            link.remove(visual)
    return Xml.tostring(robot, encoding="unicode")


def mesh_names(urdf: str) -> list[str]:
    """The meshes that a URDF refers to, each once, in order of appearance."""
    meshes = Xml.fromstring(urdf).iter("mesh")  # noqa: S314  (a file that the user chose to load)
    return list(dict.fromkeys(mesh.attrib["filename"] for mesh in meshes))


def material_files(mesh: Path) -> tuple[Path, ...]:
    """The materials and textures of an OBJ mesh, each once, in order of appearance. Other kinds of mesh have none.

    calvin_env's meshes also name files that were never part of it: materials called `*.obj.mtl`, and a texture on a
    drive D. Bullet draws without them, so they are not listed here.
    """
    if mesh.suffix.lower() != ".obj":
        return ()
    found: dict[Path, None] = {}
    for name in _named(mesh, "mtllib"):
        if name.endswith(".obj.mtl"):
            continue
        material = mesh.parent / name
        found[material] = None
        if material.is_file():
            textures = [texture for texture in _named(material, "map_Kd") if "\\" not in texture]
            found |= dict.fromkeys(material.parent / texture for texture in textures)
    return tuple(found)


def _named(file: Path, keyword: str) -> Iterator[str]:
    """The rest of each line that begins with a keyword. Meshes are megabytes, so the lines are not split."""
    content = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    wanted = f"{keyword} ".encode()
    place = content.find(wanted)
    while place >= 0:
        begin, end = content.rfind(b"\n", 0, place) + 1, content.find(b"\n", place)
        end = len(content) if end < 0 else end
        if not content[begin:place].strip(b" \t"):
            yield content[place + len(wanted) : end].decode(errors="replace").strip()
        place = content.find(wanted, end)


def require_whole(file: Path) -> bytes:
    """The content of a file of a checkout. Missing, empty and damaged files and git-lfs pointers raise an error.

    Raises:
        CheckoutError: The file cannot be used. The message names it and says what to do.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise CheckoutError(f"expected the file '{file}', but the checkout lacks it: {_HALF}") from error
    except OSError as error:
        raise CheckoutError(f"expected to read '{file}', but: {error.strerror or error}.") from error
    if not content:
        raise CheckoutError(f"expected content in '{file}', but the file is empty: {_HALF}")
    if content.startswith(_LFS_POINTER):
        raise CheckoutError(
            f"expected the content of '{file}', but it is a git-lfs pointer. Run `git lfs pull` in the checkout, or: "
            f"{INSTALL}."
        )
    damage = {".obj": _obj_damage, ".stl": _stl_damage, ".png": _png_damage, ".urdf": _urdf_damage}
    wrong = damage.get(file.suffix.lower(), _no_damage)(content)
    if wrong:
        raise CheckoutError(f"expected a whole file at '{file}', but {wrong}: {_DAMAGED}")
    return content


_HALF = f"it is half downloaded. Run `git checkout -- .` in it, or download it again: {INSTALL}."
_DAMAGED = f"it is damaged. Run `git checkout -- .` in its checkout, or download it again: {INSTALL}."


def _obj_damage(content: bytes) -> str:
    if not content.isascii() or b"\0" in content:
        return "it contains bytes that no OBJ mesh has"
    if b"\nv " not in content or b"\nf " not in content:
        return "it has no vertices or no faces"
    return "" if content.endswith(b"\n") else "its last line is cut off"


def _stl_damage(content: bytes) -> str:
    if content.startswith(b"solid") and b"endsolid" in content:
        return ""
    if len(content) < _STL_HEADER_BYTES:
        return "it is too short for an STL mesh"
    num_triangles = int.from_bytes(content[80:84], "little")
    expected = _STL_HEADER_BYTES + _STL_TRIANGLE_BYTES * num_triangles
    return "" if len(content) == expected else f"it has {len(content)} bytes instead of {expected}"


def _png_damage(content: bytes) -> str:
    if not content.startswith(_PNG_BEGIN):
        return "it is no PNG image"
    return "" if content.rstrip(b"\0").endswith(_PNG_END) else "the image's end is cut off"


def _urdf_damage(content: bytes) -> str:
    try:
        root = Xml.fromstring(content)  # noqa: S314  (a file that the user chose to load)
    except Xml.ParseError as error:
        return f"it is no XML ({error})"
    return "" if root.tag == "robot" else f"it describes a '{root.tag}', not a 'robot'"


def _no_damage(content: bytes) -> str:
    return ""
