"""`bolid data inspect`: a set as one page that any browser opens."""

from __future__ import annotations

from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path
from bolid.data.inspect.gather import gather
from bolid.data.inspect.page import write_page


def inspect(
    folder: Path, out: Path = Path("page.html"), curation: Path | None = None, each: int = 12, people: int = 40
) -> str:
    """Writes a page of a set: what is kept and why not, sizes, views, faces, photos of each person, and examples.

    The page is one file with small copies of photos inside; it fetches nothing and runs nothing. It shows people: keep
    it as you keep their photos.

    Args:
        folder: With a manifest, or that `bolid data curate` has seen.
        out: The .html file to write.
        curation: Where `.curation` is, if `bolid data curate` was given `--out`.
        each: Photos that are shown of each person, and of each reason.
        people: How many people are shown.

    Returns:
        Where it is.

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
    """Refuses a page's name that no browser would open as one.

    Raises:
        BolidError: If it does not end in .html.
    """
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise BolidError(f"{page}: the page's name must end in .html")
