"""`bolid data annotate`: turns a folder of photos per person into a data set."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bolid.core.devices import check_device
from bolid.core.errors import BolidError
from bolid.core.photos import is_rendered
from bolid.core.schema import SPLITS
from bolid.data.annotate.describe import captions_by
from bolid.data.annotate.elsewhere import linked
from bolid.data.annotate.find import Load, Rules
from bolid.data.annotate.networks import load_networks
from bolid.data.annotate.run import Run
from bolid.data.annotate.scan import first_photos
from bolid.data.annotate.summary import Summary
from bolid.data.inspect.run import check_page, inspect
from bolid.data.manifest import MANIFEST, stream_manifest
from bolid.vision.choice import Choice, Kind, choose_networks

log = logging.getLogger(__name__)


def annotate_folder(
    folder: Path,
    networks: Kind = "auto",
    pose: str | None = None,
    face: str | None = None,
    segmenter: str | None = None,
    captioner: str | None = None,
    person: str = "only",
    out: Path | None = None,
    follow: Path | None = None,
    rejected: bool = False,
    curation: Path | None = None,
    page: Path | None = None,
    workers: int = 1,
    device: str = "cpu",
) -> str:
    """Detects the person in every photo of a folder, and writes the manifest for training.

    Photos lie in one folder per person, FOLDER/PERSON/PHOTO, or in FOLDER/SPLIT/PERSON/PHOTO with the splits train, val
    and test. A text file of the photo's name (PHOTO.txt, PHOTO.caption) or a row of metadata.jsonl or metadata.csv is
    its caption; leave names out of it. An interrupted run resumes, and known photos are not processed again.

    Args:
        folder: The folder of people's folders.
        networks: photographs: MoveNet, dlib's face recogniser and BlazePose's silhouettes, which
            `bolid networks get movenet dlib-face blazepose` fetches; embedded: those of data/tiny, for rendered people
            only; auto: embedded if the photos are marked as rendered, else photographs.
        pose: Pose network to use instead: movenet, blazepose, movenet+blazepose (BlazePose where MoveNet finds no
            person), or a folder.
        face: The face recogniser: dlib-face, an ONNX file, or none.
        segmenter: Segmentation network for silhouettes, which stage 1 trains on: blazepose, folder or hub id of a
            segmentation network of transformers with a class for people, or none.
        captioner: Folder or hub id of a caption model of transformers, for photos without a caption of their own.
        person: Selection in photos of several people: only (such photos are left out), left, right, largest, or the
            person most similar to a photo of the face; for a folder of several people, a folder with a photo PERSON.jpg
            of each.
        out: Another folder for all output, if FOLDER is read-only or must stay unchanged; its photos are linked there.
        follow: Folder that links in FOLDER may lead into, such as a hub's cache.
        rejected: Whether to annotate photos that `bolid data curate` rejected; else they are left out.
        curation: Folder of `.curation`, if `bolid data curate` was given `--out`.
        page: An .html file that shows what was kept and why not, as `bolid data inspect` writes it.
        workers: Number of processes.
        device: Device of the networks: cpu, cuda, …, or several separated by commas, one per process.

    Returns:
        A summary of kept photos, and of those left out with reasons.
    """
    curation = curation or Path(folder)
    check_page(page)
    folder = linked(Path(folder), out, follow)
    check_folder(folder)
    devices = [check_device(name.strip()) for name in device.split(",")]
    if workers < 1:
        raise BolidError(f"workers={workers} must be 1 or more")
    devices = (devices * max(workers, len(devices)))[: max(workers, len(devices))]
    shown = first_photos(folder, 20)
    rendered = bool(shown) and all(map(is_rendered, shown))
    given = {"pose": pose, "face": face, "segmenter": segmenter}
    choice = choose_networks(networks, rendered, given)
    load = partial(_load, choice)
    summary = annotate_photos(folder, load, person, devices, choice.refused, captioner, rejected, curation)
    shown_on = "" if page is None else f"\n{inspect(folder, page, curation)}"
    return f"{folder}: {summary}{shown_on}"


def annotate_photos(
    folder: Path,
    load: Load,
    person: str = "only",
    devices: Sequence[str] = ("cpu",),
    rendered_only: Sequence[str] = (),
    captioner: str | None = None,
    rejected: bool = False,
    curation: Path | None = None,
) -> Summary:
    """Annotates all photos with the given networks and writes the manifest; an older one is replaced.

    Args:
        folder: The folder of people's folders.
        load: Function that loads the networks for a device.
        person: Selection in photos of several people.
        devices: Devices, one per process.
        rendered_only: Names of networks that refuse photographs; empty if none does.
        captioner: Caption model for photos without a caption.
        rejected: Whether to annotate photos that curation rejected.
        curation: Folder of `.curation`, if not the data set's.

    Raises:
        BolidError: If the folder is missing or rendered, or no photo can be used.
    """
    check_folder(folder)
    with Run(folder, Rules(folder, person, rejected, curation), rendered_only) as run:
        run.scan()
        run.look(load, devices)
        if captioner is not None:
            captions_by(captioner, run, devices[0])
        return run.write()


def check_folder(folder: Path) -> None:
    """Refuses a missing folder, and rendered people, whose labels are exact."""
    if not folder.is_dir():
        raise BolidError(f"{folder}: no such folder; give one that holds a folder of photos for each person.")
    manifests = [folder / split / MANIFEST for split in ("", *SPLITS)]
    try:
        rendered = any(p.is_file() for p in manifests) and any(
            r.renderer for rows in stream_manifest(folder) for r in rows
        )
    except BolidError as error:  # it may belong to another program
        raise BolidError(f"{error} It is not replaced: move it away, or write elsewhere by --out") from error
    if rendered:
        raise BolidError(f"{folder}: holds rendered people, whose labels are exact; nothing was changed.")


def _load(choice: Choice, device: str):
    from dataclasses import replace

    return load_networks(replace(choice, device=device))
