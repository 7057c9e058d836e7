"""`bolid identity create`: embeds a person's photos and stores the identity by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bolid.commands.identity import HOME, describe
from bolid.core.errors import BolidError
from bolid.core.identity_file import IdentityFolder
from bolid.vision.choice import Kind, choose_for, choose_networks

if TYPE_CHECKING:
    from bolid.conditions import Condition
    from bolid.core.schema import ImageRecord
    from bolid.pipelines.identify import Size, View


def create_identity(
    name: str,
    photos: Sequence[Path] = (),
    folder: Path | None = None,
    person: str | None = None,
    adapter: Path | None = None,
    encoder: str | None = None,
    networks: Kind = "auto",
    pose: str | None = None,
    face: str | None = None,
    clip: str | None = None,
    identities: Path = HOME,
    replace: bool = False,
) -> str:
    """Creates an identity: the embeddings that the conditions take, from photos or from an annotated folder.

    Args:
        name: Name of the identity.
        photos: Photos of that person; those that are broken, or show no person or several, are left out with a warning.
        folder: Instead of photos: a folder with a manifest, as `bolid data annotate` and `bolid data render` write.
        person: The person's name in that folder. For photos of several people: left, right, largest, or a photo of the
            person's face, to select the most similar face.
        adapter: Folder or hub id of the adapter to create the identity for: its conditions embed the photos. Without
            it, `encoder` and `clip` do.
        encoder: Folder of the body encoder that the adapter was trained with; by default data/tiny/body_vae with the
            embedded networks, else data/tiny/body_vae_photos.
        networks: Networks that read photos; people and faces of a folder are those of its manifest. photographs:
            MoveNet, BlazePose and dlib's face recogniser, which `bolid networks get movenet blazepose dlib-face`
            fetches; embedded: those of data/tiny, for rendered people only; auto: embedded if all photos are marked as
            rendered, else photographs.
        pose: Pose network to use instead: movenet, blazepose, or a folder.
        face: The face recogniser that the adapter was trained with: dlib-face, an ONNX file, or none for no face.
        clip: The CLIP of the adapter's image condition, if it has one: a folder or hub id, see `ClipModel`.
        identities: Folder of the stored identities.
        replace: Whether to replace an existing identity of that name.

    Returns:
        One line with the written file and its content.

    Raises:
        BolidError: If no photo is usable, the person is not in the folder, or the name is taken.
    """
    from bolid.pipelines.identify import crop_sizes, identify
    from bolid.pipelines.reading import check_faces, read_photos

    home = IdentityFolder(identities)
    home.check_free(name, replace)  # before anything is read
    if (folder is None) == (not photos) or (folder is not None and person is None):
        raise BolidError("give either `--photos FILE …`, or `--folder FOLDER --person NAME` of an annotated folder")
    records = [] if folder is None else rows(folder, str(person))
    if folder is None:
        choice = choose_for(photos, networks, pose=pose, face=face, encoder=encoder)
    else:
        choice = choose_networks(networks, all(record.renderer for record in records), {"encoder": encoder})
    conditions = conditions_for(choice.encoder, clip) if adapter is None else conditions_in(adapter)
    if folder is None:
        views, face_model = read_photos(photos, conditions, choice, person or "only")
    else:
        views, face_model = view_rows(folder, records, crop_sizes(conditions))
        check_faces(conditions, face_model, f"what embeds the faces of {folder}", "annotate it with --face")
    if adapter is None:
        conditions |= face_condition(views)
    identity = identify(conditions, views, face_model)
    if not identity:
        raise BolidError("the photos show neither a face nor a body; give others, or a network that sees them")
    path = home.save(name, identity, replace)
    return f"{path}: {describe(identity)}"


def conditions_for(encoder: str, clip: str | None) -> dict[str, Condition]:
    """The conditions that embed the photos if no adapter is given, see `create_identity`."""
    from bolid.conditions import BodyCondition, FaceCondition, ImageCondition

    body = BodyCondition(encoder).eval()
    found: dict[str, Condition] = {"body": body, "face": FaceCondition()}
    return found if clip is None else found | {"image": ImageCondition(clip, size=body.crop_size)}


def conditions_in(adapter: Path) -> dict[str, Condition]:
    """The identity conditions of an adapter, a folder or hub id, loaded without its base model."""
    from bolid.pipelines.adapter import make_conditions
    from bolid.pipelines.card import read_card
    from bolid.pipelines.hub import find_adapter

    folder, card = read_card(find_adapter(adapter))
    return {name: c.eval() for name, c in make_conditions(card, folder).items() if c.personal}


def face_condition(views: Sequence[View]) -> dict[str, Condition]:
    """A face condition of the embedding size of the given views."""
    from bolid.conditions import FaceCondition

    sizes = {len(v.face) for v in views if v.face is not None}
    return {"face": FaceCondition(embed_dim=sizes.pop())} if len(sizes) == 1 else {}


def view_rows(folder: Path, records: Sequence[ImageRecord], sizes: Collection[Size]) -> tuple[list[View], str]:
    """The views of a person's rows of a manifest, and the SHA-256 of the recogniser that embedded the faces."""
    from bolid.core.safe_io import open_picture, resolve_inside
    from bolid.data.cache import check_unchanged
    from bolid.pipelines.identify import usable, view

    def read(record: ImageRecord) -> View:
        path = resolve_inside(folder, record.file_name)
        picture = open_picture(path)
        check_unchanged(record, path)
        return view(record.file_name, picture, (record.keypoints, record.box), record.face_embedding, sizes)

    return usable(records, read), next((r.face_model for r in records if r.face_embedding is not None), "")


def rows(folder: Path, person: str) -> list[ImageRecord]:
    """A person's rows of a manifest.

    Raises:
        BolidError: If there is none.
    """
    from bolid.data.manifest import read_kept

    records = read_kept(folder)
    shown = [record for record in records if record.identity == person]
    if not shown:
        some = ", ".join(sorted({record.identity for record in records})[:3])
        raise BolidError(f"{folder}: the manifest knows no {person!r}; it knows {some}, …")
    return shown
