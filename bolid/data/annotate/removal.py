"""Removes the findings of a person's photos from a folder's store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.data.annotate.store import FILE, FOLDER, MASK


def forget_photos(folder: Path, photos: Mapping[str, str], really: bool) -> tuple[int, list[Path]]:
    """Removes the findings of photos from a folder's store, if any; copies under other names keep theirs.

    Args:
        folder: The set.
        photos: File name -> SHA-256 of the photo.
        really: Whether to remove them, instead of only counting them.

    Returns:
        The number of findings, and the silhouette files that only they use.

    Raises:
        BolidError: If the store cannot be read.
    """
    path = folder / FOLDER / FILE
    if not path.is_file():
        return 0, []
    names, contents = (json.dumps(sorted(values)) for values in (photos, filter(None, photos.values())))
    others = "SELECT sha FROM files WHERE name NOT IN (SELECT value FROM json_each(:names))"
    own = f"sha IN (SELECT value FROM json_each(:contents)) AND sha NOT IN ({others})"
    values = {"names": names, "contents": contents}
    try:
        base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30)
        with closing(base):
            base.execute("PRAGMA trusted_schema = OFF")
            found = [row[0] for row in base.execute(f"SELECT mask FROM findings WHERE {own}", values)]
            if really:
                for table in ("findings", "captions"):
                    base.execute(f"DELETE FROM {table} WHERE {own}", values)
                for table in ("files", "known"):
                    base.execute(f"DELETE FROM {table} WHERE name IN (SELECT value FROM json_each(:names))", values)
                base.commit()
                base.execute("VACUUM")  # deleted rows, embeddings of faces among them, would stay in free pages
                base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise BolidError(f"{path}: cannot be used ({error}); delete it, the photos are annotated anew") from error
    return len(found), [folder / mask for mask in found if mask and MASK.fullmatch(str(mask))]
