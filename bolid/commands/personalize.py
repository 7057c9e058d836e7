"""`bolid personalize`: from a folder of photos of a person to an identity and first images."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from bolid.commands.identity import HOME
from bolid.core.errors import BolidError
from bolid.vision.choice import Kind

PROMPTS = (
    "a photo of a person, wearing a red shirt and blue trousers, standing, full length, in front of a white wall",
    "a photo of a person, wearing a black coat, walking, full length, in a park",
    "a photo of a person, wearing a green sweater, with hands on the hips, three-quarter length, against a grey wall",
    "a photo of a person, wearing a white t-shirt, seen from the front, head and shoulders, in front of a beige wall",
)
EMBEDDED = "data/tiny/adapter"
FAMILIES = {"tiny": "StableDiffusion", "sd15": "StableDiffusion", "sdxl": "StableDiffusionXL"}
MAX_PHOTOS = 32  # maximum number of photos read; more add little
Base = Literal["tiny", "sd15", "sdxl"]


def personalize(
    photos: Path,
    name: str | None = None,
    base: Base = "tiny",
    adapter: Path | None = None,
    prompts: Sequence[str] = PROMPTS,
    person: str | None = None,
    networks: Kind = "auto",
    face: str | None = None,
    out: Path = Path("pictures"),
    identities: Path = HOME,
    replace: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> str:
    """Creates an identity from a folder of photos, stores it, and generates first images.

    Each step prints what it does, and the single command that does the same.

    Args:
        photos: Folder of photos of one person, up to 32; more photos are better. Unusable ones are left out with a
            reason.
        name: Name of the identity; by default that of the folder.
        base: Base model: tiny, the embedded one, for rendered people; sd15 or sdxl, Stable Diffusion 1.5 or XL, which
            need a trained adapter.
        adapter: Folder or hub id of an adapter that `bolid fit` wrote; required for sd15 and sdxl.
        prompts: Text prompts, one image each.
        person: The person to select in photos of several people, see `bolid identity create`.
        networks: Networks that detect people and faces, see `bolid identity create`.
        face: Face recogniser to use instead; none leaves the face out.
        out: Folder for the images and a sheet of all.
        identities: Folder of the stored identities.
        replace: Whether to replace an existing identity of that name.
        seed: Seed of the images.
        device: cpu, cuda, mps, …

    Raises:
        BolidError: If there is no adapter for that base, no photo is usable, or the name is taken.
    """
    from bolid.commands.enroll import create_identity
    from bolid.commands.generate import check_folder
    from bolid.core.devices import check_device
    from bolid.pipelines.request import check_prompts

    trained = str(adapter or (EMBEDDED if base == "tiny" else ""))
    check_adapter(trained, base)
    check_device(device)
    check_folder(out)
    check_prompts(prompts)
    found, name = photos_in(photos), name or photos.resolve().name
    files, options = found[:MAX_PHOTOS], {"person": person, "networks": networks, "face": face}
    alone = ["bolid", "identity", "create", "--name", name, "--adapter", trained]
    alone += [
        word for key, value in options.items() if value not in (None, "auto") for word in (f"--{key}", str(value))
    ]
    alone += ["--photos", *map(str, files)]
    print(f"1/2  reading {len(files)} of {len(found)} photos in {photos}; alone: `{shlex.join(alone)}`", flush=True)
    print(
        create_identity(
            name, files, person=person, adapter=Path(trained), networks=networks, face=face, identities=identities,
            replace=replace,
        )
    )  # fmt: skip
    alone = ["bolid", "generate", prompts[0], "--identity", name, "--adapter", trained]
    print(f"2/2  generating {len(prompts)} images by {trained}; alone: `{shlex.join(alone)}`", flush=True)
    return draw(trained, identities, name, prompts, out, seed, device)


def check_adapter(adapter: str, base: Base) -> None:
    """Refuses a base model without an adapter, which would ignore the identity.

    Raises:
        BolidError: If none is given, or it was trained for another base.
    """
    from bolid.pipelines.card import read_card
    from bolid.pipelines.hub import find_adapter

    if not adapter:
        raise BolidError(
            f"no adapter for {base} comes with BoLID: give --adapter, a folder or hub id. Training one takes photos of "
            f"some thousand people and days of a GPU (`bolid fit --config configs/recipe/{base}.yaml`)"
        )
    _, card = read_card(find_adapter(adapter))
    path = str(card.backbone.arguments["path"])
    if card.backbone.kind != FAMILIES[base] or (base == "tiny") != path.startswith("data/tiny"):
        raise BolidError(
            f"adapter: {adapter} was trained for {path}, which is not {base}: give --base, or another adapter"
        )


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder, by name.

    Raises:
        BolidError: If there is none.
    """
    from bolid.core.photos import SUFFIXES

    if not folder.is_dir():
        raise BolidError(f"photos: {folder} is no folder; give one that holds photos of a single person")
    found = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not found:
        raise BolidError(
            f"photos: {folder} holds no photo ({', '.join(sorted(SUFFIXES))}); those of one person go there"
        )
    return found


def draw(adapter: str, identities: Path, name: str, prompts: Sequence[str], out: Path, seed: int, device: str) -> str:
    """One image per prompt, and a sheet of all."""
    from bolid.core.identity_file import IdentityFolder
    from bolid.core.photos import generated_mark
    from bolid.core.pictures import to_image
    from bolid.core.safe_io import new_path
    from bolid.evaluation.results import SheetRow
    from bolid.evaluation.sheet import draw_sheet
    from bolid.pipelines import BoLIDPipeline

    pipe = BoLIDPipeline.from_pretrained(adapter).to(device)
    made: Any = pipe(list(prompts), IdentityFolder(identities).load(name), seed=seed, output_type="pt")
    rows = [SheetRow([], {"": image}, text) for image, text in zip(made.images.cpu(), prompts, strict=True)]
    images = {f"{name}_{number}": to_image(image) for number, image in enumerate(made.images)}
    for stem, image in {**images, name: draw_sheet(rows, name)}.items():
        with new_path(out / f"{stem}.png") as part:
            image.save(part, pnginfo=generated_mark())
    return f"{len(images)} images in {out}; {out / f'{name}.png'} shows them on one sheet"
