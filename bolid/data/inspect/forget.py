"""`bolid data forget`: removes a person's photos and all data derived from them, and reports it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bolid.core.errors import BolidError
from bolid.core.names import check_known
from bolid.core.safe_io import atomic_path, open_parquet, resolve_inside, sha256, write_text
from bolid.core.schema import SPLITS
from bolid.core.trained_on import CARD, was_trained_on
from bolid.data.annotate.removal import forget_photos
from bolid.data.annotate.store import FILE, FOLDER, MASKS
from bolid.data.annotate.summary import LEFT_OUT
from bolid.data.collect.forget import forget as forget_collected
from bolid.data.manifest import MANIFEST, ManifestWriter, stream_manifest

FEATURES = (".annotations", ".curation", ".found")  # tables of features of photos
ROWS = 4096


def forget(
    folder: Path,
    identity: str = "",
    identities: Path = Path("data/identities"),
    runs: Sequence[Path] = (Path("runs"),),
    curation: Path | None = None,
    yes: bool = False,
) -> str:
    """Removes a person: photos, manifest rows, features, resized copies, stored identity, image sheets; reports each.

    Without `--yes true` it only lists them. Adapters trained on the person are found by the salted hashes in their
    cards; their weights cannot be unlearned: delete them, or train anew.

    Args:
        folder: The set.
        identity: The person's key: the name of the folder, or the identity in the manifest.
        identities: Folder of the stored identities.
        runs: Folders to search for adapters and image sheets.
        curation: Folder of `.curation`, if `bolid data curate` was given `--out`.
        yes: Whether to remove, instead of only listing.

    Returns:
        One line per kind of data.

    Raises:
        BolidError: If there is no person of that name.
    """
    if not folder.is_dir() or not identity:
        raise BolidError(f"{folder}: no such folder" if identity else "say whom: `--identity NAME`")
    found = Forgetting(identity, Path(folder), yes)
    photos = found.photos()
    lines = found.rows() + found.features(photos, curation)
    lines += found.files(photos) + found.stored(identities)
    saw = list(adapters(runs, identity))
    lines += found.sheets([adapter.parent for adapter in saw])
    if not photos and not lines:
        raise BolidError(f"{folder}: knows no {identity!r}, and neither do {identities}; give the name of the folder")
    lines += [f"trained on {identity}, and still are: {adapter}" for adapter in saw]
    if not saw:
        lines.append(
            f"no adapter below {', '.join(map(str, runs)) or 'no folder'} says that it was trained on {identity}"
        )
    head = f"removed {identity}:" if yes else f"would remove {identity} (nothing is removed without `--yes true`):"
    return "\n".join([head, *(f"  {line}" for line in lines)])


class Forgetting:
    """Removes one person from a data set, or lists what it would remove.

    Args:
        identity: The person's key.
        folder: The set.
        really: Whether to remove.
    """

    def __init__(self, identity: str, folder: Path, really: bool) -> None:
        self.identity, self.folder, self.really = identity, folder, really

    def photos(self) -> dict[str, str]:
        """File name -> SHA-256 of the person's photos, in folders and manifest; the hash is empty of those gone."""
        names = {r.file_name: r.sha256 for r in self._records()}
        for person in self._folders():
            inside = (path for path in person.rglob("*") if path.is_file() and not path.is_symlink())
            names |= {path.relative_to(self.folder).as_posix(): "" for path in inside}
        found = {}
        for name, known in names.items():
            with suppress(BolidError):
                path = resolve_inside(self.folder, name)
                found[name] = sha256(path) if path.is_file() else known
        return found

    def rows(self) -> list[str]:
        """Takes the person's rows out of the manifest."""
        count = len(list(self._records()))
        if count and self.really:
            with ManifestWriter(self.folder) as writer:
                for records in stream_manifest(self.folder):
                    writer.write([r for r in records if r.identity != self.identity])
        journal = forget_collected(self.folder, self.identity, self.really)
        lines = [f"{count} rows of the manifest"] if count else []
        return lines + ([f"{journal} lines of collected.jsonl"] if journal else [])

    def features(self, photos: dict[str, str], curation: Path | None) -> list[str]:
        """Takes the photos' rows out of all tables of features, by name or content."""
        contents = [bytes.fromhex(h) for h in photos.values() if h]
        kept: dict[str, Callable[[pa.Table], Any]] = {
            "file_name": lambda t: pc.invert(pc.is_in(t["file_name"], pa.array(list(photos), pa.string()))),
            "identity": lambda t: pc.not_equal(t["identity"], self.identity),
            "sha256": lambda t: pc.invert(pc.is_in(t["sha256"], _values(t["sha256"].type, contents))),
        }
        homes = {self.folder, Path(curation or self.folder)}
        tables = [p for home in homes for name in FEATURES for p in sorted((home / name).rglob("*.parquet"))]
        counts = {path: self._filter(path, kept) for path in tables}
        count, masks = forget_photos(self.folder, photos, self.really)
        counts |= {self.folder / FOLDER / FILE: count, self.folder / FOLDER / LEFT_OUT: self._left_out(photos)}
        for mask in masks if self.really else ():
            mask.unlink(missing_ok=True)
        lines = [f"{len(masks)} silhouettes in {self.folder / MASKS}"] if masks else []
        return [f"{gone} rows of {path}" for path, gone in counts.items() if gone] + lines

    def _left_out(self, photos: dict[str, str]) -> int:
        """Takes the photos' lines out of the list of what annotation left out."""
        path = self.folder / FOLDER / LEFT_OUT
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        left = [line for line in lines if not any(json.dumps(name) in line for name in photos)]
        if self.really and len(left) < len(lines):
            write_text(path, "".join(f"{line}\n" for line in left))
        return len(lines) - len(left)

    def files(self, photos: dict[str, str]) -> list[str]:
        """Removes photos, captions and silhouettes, and the set's working copies."""
        lines = []
        paths = [self.folder / name for name in photos if (self.folder / name).is_file()]
        beside = [p.with_suffix(s) for p in paths for s in (".txt", ".caption") if p.with_suffix(s).is_file()]
        masks = [self.folder / f"{kind}/{name}" for name in photos for kind in ("masks", ".masks")]
        masks = [m for mask in masks for m in (mask, Path(f"{mask}.png")) if m.is_file()]
        for what, some in {"photos and other files": {*paths, *beside}, "silhouettes": {*masks}}.items():
            lines += [f"{len(some)} {what}"] if some else []
            for path in some if self.really else ():
                path.unlink(missing_ok=True)
        cache = self.folder / ".cache"
        if photos and cache.is_dir():
            lines.append(f"the working copies of all in {cache}, which are made anew when they are needed")
            if self.really:
                shutil.rmtree(cache)
        for person in self._folders() if self.really else ():
            if not any(path.is_file() for path in person.rglob("*")):
                shutil.rmtree(person)
        return lines

    def stored(self, identities: Path) -> list[str]:
        """Removes the identity's file."""
        from bolid.core.identity_file import FILE_NAME, IdentityFolder

        home = IdentityFolder(identities)
        if not FILE_NAME.fullmatch(self.identity) or not home.path(self.identity).is_file():
            return []
        if self.really:
            home.delete(self.identity)
        return [f"the identity {home.path(self.identity)}"]

    def sheets(self, runs: Sequence[Path]) -> list[str]:
        """Removes image sheets and generated images of runs trained on the person."""
        found = sorted({p for run in runs for p in run.rglob("sheet*.png")})
        for path in found if self.really else ():
            path.unlink(missing_ok=True)
        return [f"the image sheet {path}" for path in found]

    def _records(self) -> Iterator[Any]:
        if any((self.folder / split / MANIFEST).is_file() for split in ("", *SPLITS)):
            for records in stream_manifest(self.folder):
                yield from (r for r in records if r.identity == self.identity)

    def _folders(self) -> list[Path]:
        names = {p.name: p for split in ("", *SPLITS) for p in _folders_in(self.folder / split)}
        with suppress(BolidError):
            check_known([self.identity], names, str(self.folder), "person")
            return [p for split in ("", *SPLITS) if (p := self.folder / split / self.identity).is_dir()]
        return []

    def _filter(self, path: Path, kept: dict[str, Callable[[pa.Table], Any]]) -> int:
        """Rewrites a table without the person's rows; returns how many there were."""
        gone, left = 0, path.with_suffix(".left")
        try:
            with open_parquet(path) as file, atomic_path(left) as part, _writer(part, file) as writer:
                for batch in file.iter_batches(ROWS):
                    rows = table = pa.table(batch)
                    for column in kept.keys() & set(table.column_names):
                        rows = rows.filter(pc.fill_null(kept[column](rows), True))
                    gone += len(table) - len(rows)
                    writer.write_table(rows)
            if gone and self.really:
                left.replace(path)
            else:
                left.unlink()
        except (pa.ArrowException, OSError) as error:
            raise BolidError(f"{path}: not a readable table; delete it, it will be made anew ({error})") from error
        return gone


def _writer(path: Path, like: pq.ParquetFile) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, like.schema_arrow)


def _values(kind: pa.DataType, contents: Sequence[bytes]) -> pa.Array:
    """Content hashes as a column of this type holds them: bytes or hexadecimal text."""
    return pa.array([c.hex() for c in contents] if pa.types.is_string(kind) else contents, kind)


def _folders_in(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."] if folder.is_dir() else []


def adapters(runs: Sequence[Path], identity: str) -> Iterator[Path]:
    """Folders of adapters below others that, by the hashes in their cards, were trained on a person."""
    for card in sorted({card for folder in runs for card in Path(folder).rglob(CARD)}):
        with suppress(BolidError):  # another program's file of that name
            if was_trained_on(card.parent, identity):
                yield card.parent
