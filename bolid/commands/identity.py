"""`bolid identity …`: stored identities, which need no photos to generate from."""

from __future__ import annotations

from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity, mix
from bolid.core.identity_file import IdentityFolder

HOME = Path("data/identities")


def mix_identities(
    name: str, first: str, second: str, share: float = 0.5, identities: Path = HOME, replace: bool = False
) -> str:
    """Stores the interpolation of two identities, in body and face.

    Args:
        name: Name of the new identity.
        first: Name of the first identity.
        second: Name of the second.
        share: Weight of the second: 0 gives the first identity, 1 the second.
        identities: Folder of the stored identities.
        replace: Whether to replace an existing identity of that name.

    Raises:
        BolidError: If one of them is missing, or they were read by different networks.
    """
    home = IdentityFolder(identities)
    mixed = mix(home.load(first), home.load(second), share)
    return f"{home.save(name, mixed, replace)}: {describe(mixed)}"


def move_identity(
    name: str,
    start: str,
    direction: str,
    strength: float = 1.0,
    directions: Path = Path("data/directions.safetensors"),
    identities: Path = HOME,
    replace: bool = False,
) -> str:
    """Stores an identity with the same face whose body differs in one proportion (a length as a share of the stature).

    Args:
        name: Name of the new identity.
        start: Name of the identity to start from.
        direction: The proportion, as the directions' file names it, such as waist, leg or build (the volume).
        strength: Change of the proportion in standard deviations among people; negative for less.
        directions: File that `bolid identity directions` wrote with the same body encoder.
        identities: Folder of the stored identities.
        replace: Whether to replace an existing identity of that name.

    Raises:
        BolidError: If the identity or the directions are missing, or do not belong together.
    """
    from bolid.core.names import check_known
    from bolid.models.body_directions import load_directions

    home = IdentityFolder(identities)
    before = home.load(start)
    if "body" not in before:
        raise BolidError(f"{start} has no body to move; create the identity from photos that show it")
    code, model = before["body"]
    known = load_directions(directions, model)
    check_known([direction], known, str(directions), "direction")
    moved = before.replace(body=Embedding(code + strength * known[direction], model))
    return f"{home.save(name, moved, replace)}: {describe(moved)}"


def list_identities(identities: Path = HOME) -> str:
    """Lists the stored identities, one per line.

    Args:
        identities: Their folder.
    """
    home = IdentityFolder(identities)
    lines = [f"{name}: {_held(home, name)}" for name in home.names()]
    return "\n".join(lines) or f"{identities}: no identities yet; see `bolid identity create --help`"


def _held(home: IdentityFolder, name: str) -> str:
    try:
        return describe(home.load(name))
    except BolidError as error:  # one broken file must not hide the others
        return f"cannot be read: {error}"


def show_identity(name: str, identities: Path = HOME) -> str:
    """Shows what an identity holds and which networks embedded it.

    Args:
        name: Name of the identity.
        identities: Folder of the stored identities.
    """
    home = IdentityFolder(identities)
    identity = home.load(name)
    lines = [f"file: {home.path(name)}", f"holds: {describe(identity)}"]
    return "\n".join(
        lines
        + [
            f"{part}: embedded by the network of SHA-256 {found.model}"
            for part, found in identity.items()
            if found.model
        ]
    )


def delete_identity(name: str, identities: Path = HOME) -> str:
    """Deletes an identity.

    Args:
        name: Name of the identity.
        identities: Folder of the stored identities.
    """
    return f"deleted {IdentityFolder(identities).delete(name)}"


def describe(identity: Identity) -> str:
    """The embeddings of an identity and their sizes, such as `body (32 numbers)`."""
    return " and ".join(f"{name} ({len(found.values)} numbers)" for name, found in identity.items()) or "nothing"
