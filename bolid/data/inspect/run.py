"""`bolid data inspect`: shows a data set on one HTML page."""

from __future__ import annotations

from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path
from bolid.data.inspect.gather import gather
from bolid.data.inspect.page import write_page


def inspect(
    folder: Path, out: Path = Path("page.html"), curation: Path | None = None, each: int = 12, people: int = 40
) -> str:
    """Writes a page on a data set: kept and rejected photos with reasons, sizes, views, faces, and examples.

    The page is one file with embedded thumbnails, without requests or scripts. It shows people: protect it like their
    photos.

    Args:
        folder: Folder with a manifest, or with results of `bolid data curate`.
        out: The .html file to write.
        curation: Folder of `.curation`, if `bolid data curate` was given `--out`.
        each: Number of example photos per person, and per reason.
        people: Number of people with examples.

    Returns:
        One line with the file and the counts.

    Raises:
        BolidError: If the folder has neither manifest nor verdicts, or the file has another ending.
    """
    check_page(out)
    if not folder.is_dir():
        raise BolidError(f"{folder}: no such folder")
    found = gather(folder, curation or folder, each, people)
    with atomic_path(out) as part, open(part, "w", encoding="utf-8") as file:
        write_page(found, folder, file)
    return f"{out}: {found.kept} of {found.photos} photos of {len(found.people)} people are kept"


def check_page(page: Path | None) -> None:
    """Refuses a page without the suffix .html or .htm.

    Raises:
        BolidError: If it does not end in .html.
    """
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise BolidError(f"{page}: the page's name must end in .html")
