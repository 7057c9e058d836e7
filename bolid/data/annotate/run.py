"""One annotation run: scans a folder, runs the networks, and writes the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.keypoints import shows_body, shows_figure
from bolid.core.photos import is_rendered
from bolid.core.safe_io import sha256
from bolid.core.schema import ANYBODY, ImageRecord, Phrase
from bolid.data.annotate import agreement
from bolid.data.annotate.captions import caption_beside
from bolid.data.annotate.find import FAILED, UNREADABLE, Load, Rules, Task, find_all
from bolid.data.annotate.listing import OTHER
from bolid.data.annotate.networks import Networks
from bolid.data.annotate.scan import scan_files, scan_tables
from bolid.data.annotate.store import FOLDER, Finding, Photo, Store
from bolid.data.annotate.summary import EXAMPLES, LEFT_OUT, LeftOutList, Summary
from bolid.data.manifest import ManifestWriter
from bolid.vision.choice import refusal
from bolid.vision.people import WORDS
from bolid.vision.whom import face_photos, read_face

BATCH = 8  # photos
_VERSION = 1  # increase it when the same networks give another finding for a photo


class Run:
    """The steps of one run, in order: `scan`, `look`, `write`.

    Args:
        folder: Folder of people's folders; also the output folder.
        rules: Settings of the annotation.
        rendered_only: Names of networks that refuse photographs.
    """

    def __init__(self, folder: Path, rules: Rules, rendered_only: Sequence[str] = ()) -> None:
        self.folder, self.rules, self.rendered_only = Path(folder), rules, rendered_only
        self.summary = Summary()
        self.model = self.face_model = self.caption_model = ""
        self._faces: dict[str, np.ndarray] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Run:
        self.store = Store(self.folder)
        self._stack.callback(self.store.close)
        self.left_out = self._stack.enter_context(LeftOutList(self.folder / FOLDER / LEFT_OUT, self.summary))
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    def scan(self) -> None:
        """Records the folder's files."""
        self.summary.notes += scan_tables(self.folder, self.store, self.rules.curation)
        scan_files(self.folder, self.store, self.left_out, self.rules.rejected)
        changed = list(self.store.changed())
        self.summary.note(f"{len(changed)} photos changed since they were annotated, and are annotated anew", changed)

    def look(self, load: Load, devices: Sequence[str]) -> None:
        """Runs the networks on all new photos; each batch is saved when it is done."""
        from tqdm import tqdm

        networks = load(devices[0])  # loaded here, too, for the fingerprint, and to report missing networks at once
        self.face_model = networks.face_model
        self.summary.faces_asked = networks.embedder is not None
        self.summary.silhouettes_asked = networks.outliner is not None
        about = f"{_VERSION} {networks.fingerprint} {self._chosen_by(networks)}"
        self.model = hashlib.sha256(about.encode()).hexdigest()
        self._forget_lost()
        waiting = sum(1 for _ in self.store.waiting(self.model))
        with tqdm(total=waiting, desc=f"annotating {self.folder.name}", unit="photo", disable=waiting < 20) as bar:
            for tasks, findings in find_all(self._batches(), _once(networks, load, devices), self.rules, devices):
                for task, finding in zip(tasks, findings, strict=True):
                    self.store.add(task.sha, self.model, finding)
                self.store.commit()
                bar.update(len(tasks))

    def _chosen_by(self, networks: Networks) -> str:
        """Reads the face photos for the selection, if any; returns an identifier of the selection."""
        if self.rules.person in WORDS:
            return self.rules.person
        photos = face_photos(Path(self.rules.person))
        if "" in photos and self.store.people() > 1:
            raise BolidError(
                f"person: {photos['']} is one person's face, and {self.folder} holds several people: give a folder "
                "with a photo PERSON.jpg of each"
            )
        found = {p: read_face(f, networks.estimator, networks.embedder, self.rendered_only) for p, f in photos.items()}
        self._faces, self.rules = found, replace(self.rules, person="only")
        return " ".join(f"{person!r} {sha256(path)}" for person, path in photos.items())

    def _batches(self) -> Iterator[list[Task]]:
        face = self._faces
        todo = (
            Task(self.folder / p.name, p.sha, face.get(p.person, face.get("")))
            for p in self.store.waiting(self.model)
            if self._may_look(p)
        )
        while batch := list(islice(todo, BATCH)):
            yield batch

    def _forget_lost(self) -> None:
        """Removes findings to repeat: of lost silhouettes, unreadable photos, and other reference faces."""
        for sha in self.store.moved() if self._faces else []:
            self.store.forget(sha, self.model)
        for photo in self.store.photos():
            found = self.store.finding(photo.sha, self.model)
            lost = found is not None and (found.mask is not None and not (self.folder / found.mask).is_file())
            if found is None or lost or found.kind in (UNREADABLE, FAILED):
                self.store.forget(photo.sha, self.model)
        self.store.commit()

    def _may_look(self, photo: Photo) -> bool:
        return not self.rendered_only or is_rendered(self.folder / photo.name)

    def captionless(self) -> Iterator[Photo]:
        """Kept photos without a caption."""
        for photo in self.store.waiting(self.caption_model, "captions"):
            found = self.store.finding(photo.sha, self.model)
            if found is not None and not found.kind and self._given_caption(photo.name) is None:
                yield photo

    def write(self) -> Summary:
        """Writes the manifest.

        Raises:
            BolidError: If no photo can be used.
        """
        copies = self._copies()
        least = agreement.face_limit(self.store, self.model)
        disagreeing: list[str] = []
        with ManifestWriter(self.folder) as writer:
            for _, photos in groupby(self.store.photos(), lambda photo: photo.name.rpartition("/")[0]):
                records = [r for r in (self._record(photo, copies) for photo in photos) if r is not None]
                writer.write(records)
                disagreeing += agreement.strange_faces(records, least)
            if not self.summary.photos:
                raise BolidError(f"{self.folder}: no usable photo at FOLDER/PERSON/PHOTO: {self._first_reason()}")
        self.summary.note("faces that disagree with the others of their person", disagreeing)
        for mask in self.store.prune():
            (self.folder / mask).unlink(missing_ok=True)
        unused = self.store.unused("caption")
        self.summary.note("captions of metadata files whose photo is not there", list(unused))
        return self.summary

    def _first_reason(self) -> str:
        examples = self.summary.examples
        reasons = [message for kind, some in examples.items() if kind != OTHER for message in some]
        return "; ".join(reasons[:EXAMPLES]) or "there are no photos"

    def _copies(self) -> dict[str, tuple[str, str]]:
        """Duplicate photos: name -> kind and reason; of one person's copies the first is kept."""
        found: dict[str, tuple[str, str]] = {}
        for _, photos in self.store.copies():
            people = sorted({p.person for p in photos})
            for photo in photos[len(people) == 1 :]:
                if len(people) > 1:
                    others = ", ".join(p.name for p in photos if p is not photo)
                    found[photo.name] = "under several people", f"{photo.name} is the same photo as {others}"
                else:
                    found[photo.name] = "copy", f"{photo.name} is a copy of {photos[0].name}"
        return found

    def _record(self, photo: Photo, copies: dict[str, tuple[str, str]]) -> ImageRecord | None:
        found = self.store.finding(photo.sha, self.model)
        if found is None:
            kind, why = "not rendered", refusal(photo.name, self.rendered_only)
        else:  # a copy of an unusable photo is unusable, too
            kind, why = (found.kind, found.why) if found.kind else copies.get(photo.name, ("", ""))
        if kind or found is None:
            self.left_out.add(photo.name, kind, why)
            return None
        try:
            return self._kept(photo, found)
        except BolidError as error:
            self.left_out.add(photo.name, "unreadable caption", str(error))
            return None

    def _kept(self, photo: Photo, found: Finding) -> ImageRecord:
        assert found.keypoints is not None
        assert found.box is not None
        caption = self._given_caption(photo.name)
        if caption is None and self.caption_model:
            caption = self.store.caption(photo.sha, self.caption_model) or None
        record = ImageRecord(
            photo.name,
            photo.person,
            [Phrase("text", caption or ANYBODY)],
            found.keypoints,
            found.box,
            face_embedding=found.face,
            face_model=self.face_model,
            silhouette=found.mask,
            sha256=photo.sha,
            whole_figure=shows_figure(found.keypoints),
            **self._known(photo),  # type: ignore[arg-type]
        )
        self._count(record, caption)
        return record

    def _known(self, photo: Photo) -> dict[str, object]:
        """Fields of collection and curation for this content."""
        found: dict[str, object] = {"source": "own"}
        for source in ("manifest", "collected"):
            known = self.store.known(source, photo.name)
            if known is not None and known[0] in ("", photo.sha):
                found |= {name: value for name, value in known[1].items() if value}
        curated = self.store.known("curation", photo.name)
        if curated is not None and curated[0] == photo.sha:
            found |= {name: curated[1][name] for name in ("verdicts", "rejected")}
        if found.get("address"):
            found["source"] = "collected"
        return found

    def _count(self, record: ImageRecord, caption: str | None) -> None:
        shown = {
            "face": record.face_embedding is not None,
            "silhouette": record.silhouette is not None,
            "body": shows_body(record.keypoints),
            "caption": caption is not None,
        }
        self.summary.counts.update(name for name, there in shown.items() if there)
        self.summary.kept[record.identity] += 1
        self.summary.whole[record.identity] += bool(record.whole_figure)

    def _given_caption(self, name: str) -> str | None:
        beside = caption_beside(self.folder, name)
        if beside is not None:
            return beside
        known = self.store.known("caption", name)
        return None if known is None else known[1]["text"]


def _once(networks: Networks, load: Load, devices: Sequence[str]) -> Load:
    """A loader that reuses the networks of this process."""
    return load if len(devices) > 1 else lambda _: networks
