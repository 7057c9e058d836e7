"""`bolid identity …`: people by name, to draw without their photos at hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity, mix
from bolid.core.identity_file import IdentityFolder

if TYPE_CHECKING:
    from bolid.conditions import Condition
    from bolid.pipelines.identify import Size, View

HOME = Path("data/identities")


def create_identity(
    name: str,
    photos: Sequence[Path] = (),
    folder: Path | None = None,
    person: str | None = None,
    adapter: Path | None = None,
    encoder: str = "data/tiny/body_vae",
    pose: Path = Path("data/tiny/pose"),
    face: Path | None = Path("data/tiny/face/face.onnx"),
    clip: str | None = None,
    identities: Path = HOME,
    replace: bool = False,
) -> str:
    """Reads a person off photos, or off a labelled folder, and stores what conditions need under a name.

    Args:
        name: Of the identity.
        photos: Photos of that person alone; those that are broken or show nobody are left out with a warning.
        folder: In place of photos: a folder with a manifest, as `bolid data label` and `bolid data render` write.
        person: Whom of that folder.
        adapter: Folder of the adapter that is to know the person: its own conditions read the photos. Without it,
            `encoder` and `clip` say what does.
        encoder: Folder of the body encoder that the adapter was trained with.
        pose: Folder of the pose network that finds the person in photos; a manifest has the keypoints.
        face: The face recogniser that the adapter was trained with; null for no face. A manifest has the faces.
        clip: The CLIP of the adapter's image condition, if it has one: a folder or hub id, see `ClipModel`.
        identities: Where identities are kept.
        replace: Whether an identity of that name may be replaced.

    Returns:
        A line that says what was written.

    Raises:
        BolidError: If no photo can be used, the person is not in the folder, or the name is taken.
    """
    from bolid.pipelines.identify import crop_sizes, identify

    home = IdentityFolder(identities)
    home.check_free(name, replace)  # before anything is read
    if (folder is None) == (not photos) or (folder is None) != (person is None):
        raise BolidError("give either `--photos FILE …`, or `--folder FOLDER --person NAME` of a labelled folder")
    conditions = conditions_for(encoder, clip) if adapter is None else conditions_in(adapter)
    if folder is not None and person is not None:
        views, face_model = view_folder(folder, person, crop_sizes(conditions))
    else:
        views, face_model = view_files(photos, pose, face, crop_sizes(conditions))
    check_faces(conditions, face_model, str(face if folder is None else folder))
    identity = identify(conditions, views, face_model)
    if not identity:
        raise BolidError("the photos show neither a face nor a body; give others, or a network that sees them")
    path = home.save(name, identity, replace)
    return f"{path}: {describe(identity)}"


def conditions_for(encoder: str, clip: str | None) -> dict[str, Condition]:
    """The conditions whose embeddings an identity is to hold, see `create_identity`."""
    from bolid.conditions import BodyCondition, FaceCondition, ImageCondition

    body = BodyCondition(encoder).eval()
    found: dict[str, Condition] = {"body": body, "face": FaceCondition()}
    return found if clip is None else found | {"image": ImageCondition(clip, size=body.crop_size)}


def conditions_in(adapter: Path) -> dict[str, Condition]:
    """The conditions of a person that an adapter holds, without its base model."""
    from bolid.pipelines.adapter import make_conditions
    from bolid.pipelines.card import read_card

    folder, card = read_card(adapter)
    return {name: c.eval() for name, c in make_conditions(card, folder).items() if c.personal}


def check_faces(conditions: Mapping[str, Condition], face_model: str, where: str) -> None:
    """Refuses faces that were embedded by another network than the one that conditions were trained with."""
    for condition in conditions.values():
        if condition.reads_faces:
            condition.check_fingerprint(face_model, f"what embeds the faces of {where}")


def view_files(
    photos: Sequence[Path], pose: Path, face: Path | None, sizes: Collection[Size]
) -> tuple[list[View], str]:
    """What photos show, and the SHA-256 of the recogniser, if one was asked."""
    from bolid.pipelines.identify import view_photos
    from bolid.vision.load import face_recogniser, pose_estimator

    embedder = None if face is None else face_recogniser(face)
    views = view_photos(photos, sizes, pose_estimator(pose), embedder)
    return views, embedder.fingerprint if embedder else ""


def view_folder(folder: Path, person: str, sizes: Collection[Size]) -> tuple[list[View], str]:
    """What a person's photos show by their manifest, and the SHA-256 of the recogniser that embedded the faces."""
    from bolid.core.safe_io import open_picture, resolve_inside
    from bolid.core.schema import ImageRecord
    from bolid.data.cache import check_unchanged
    from bolid.data.manifest import read_kept
    from bolid.pipelines.identify import usable, view

    records = read_kept(folder)
    shown = [r for r in records if r.identity == person]
    if not shown:
        some = ", ".join(sorted({r.identity for r in records})[:3])
        raise BolidError(f"{folder}: the manifest knows no {person!r}; it knows {some}, …")

    def read(record: ImageRecord) -> View:
        path = resolve_inside(folder, record.file_name)
        picture = open_picture(path)
        check_unchanged(record, path)
        return view(record.file_name, picture, (record.keypoints, record.box), record.face_embedding, sizes)

    return usable(shown, read), next((r.face_model for r in shown if r.face_embedding is not None), "")


def mix_identities(
    name: str, first: str, second: str, share: float = 0.5, identities: Path = HOME, replace: bool = False
) -> str:
    """Stores somebody between two people, in body and face.

    Args:
        name: Of the new identity.
        first: Name of one.
        second: Name of the other.
        share: How far from the first (0) to the second (1).
        identities: Where identities are kept.
        replace: Whether an identity of that name may be replaced.

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
    """Stores somebody with the same face whose body differs in one proportion, its share of the stature.

    Args:
        name: Of the new identity.
        start: Name of whom to start from.
        direction: The proportion, as the directions' file names it, such as waist, leg or build (the volume).
        strength: How much more of it, in standard deviations among people; below 0: less.
        directions: File that `bolid identity directions` wrote with the same body encoder.
        identities: Where identities are kept.
        replace: Whether an identity of that name may be replaced.

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
    """Lists the identities that are kept, a line each.

    Args:
        identities: Where.
    """
    home = IdentityFolder(identities)
    lines = [f"{name}: {_told(home, name)}" for name in home.names()]
    return "\n".join(lines) or f"{identities}: nobody yet; see `bolid identity create --help`"


def _told(home: IdentityFolder, name: str) -> str:
    try:
        return describe(home.load(name))
    except BolidError as error:  # one broken file must not hide the others
        return f"cannot be read: {error}"


def show_identity(name: str, identities: Path = HOME) -> str:
    """Says what is known of one person.

    Args:
        name: Of the identity.
        identities: Where identities are kept.
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
        name: Of the identity.
        identities: Where identities are kept.
    """
    return f"deleted {IdentityFolder(identities).delete(name)}"


def describe(identity: Identity) -> str:
    """In a few words what an identity holds."""
    return " and ".join(f"{name} ({len(found.values)} numbers)" for name, found in identity.items()) or "nothing"
