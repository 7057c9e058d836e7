"""Writes the page: one HTML file with embedded images. All text from files is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.photos import open_photo
from bolid.core.safe_io import PictureError, resolve_inside
from bolid.data.inspect.gather import Example, Gathered

SIDE = 160  # pixels of a thumbnail's longer side
TEXT = 160  # characters below a photo
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#222;background:#fff}
h2{margin-top:2em;border-bottom:1px solid #ccc} h3{margin-bottom:.3em}
.row{display:grid;grid-template-columns:14em 1fr 6em;gap:.8em;align-items:center}
.bar{background:#e8e8e8}.bar i{display:block;height:1em;background:#4a7fb5}.bad i{background:#c0604c}
.sheet{display:flex;flex-wrap:wrap;gap:.6em}figure{margin:0;width:160px}
img{max-width:160px;max-height:160px;display:block;margin:auto}
figcaption{font-size:12px;overflow-wrap:anywhere;color:#555}
.tables{display:grid;grid-template-columns:repeat(auto-fill,minmax(30em,1fr));gap:0 2em}
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # no requests and no scripts


def write_page(found: Gathered, folder: Path, file: io.TextIOBase, most_people: int = 200) -> None:
    """Writes the page in pieces, so that not all images are in memory.

    Args:
        found: Content of the page.
        folder: Folder of the photos.
        file: Open for text.
        most_people: Rows of the table of people.
    """
    title = f"{folder.resolve().name}: {found.kept} of {found.photos} photos, {len(found.people)} people"
    file.write(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{safe(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style></head><body>\n'
        f"<h1>{safe(title)}</h1>\n"
    )
    file.write('<h2 id="funnel">What is kept and what is not</h2>\n')
    file.writelines(funnel(found))
    file.write('<h2 id="counts">The kept photos</h2><div class="tables">\n')
    for name, counts in found.counts.items():
        file.write(f"<div><h3>{safe(name)}</h3>{bars(dict(sorted(counts.items())), found.kept)}</div>\n")
    file.write(f'</div><h2 id="people">Photos per person</h2>\n{people(found, most_people)}')
    file.write('<h2 id="rejected">Rejected, and why</h2>\n')
    for name, examples in found.rejected_examples.items():
        file.write(f"<h3>{safe(name)}: {found.rejected[name]}</h3>\n")
        file.writelines(sheet(folder, examples))
    file.write('<h2 id="kept">Kept</h2>\n')
    for name, examples in found.kept_examples.items():
        file.write(f"<h3>{safe(name)}: {found.people[name]}</h3>\n")
        file.writelines(sheet(folder, examples))
    file.write("</body></html>\n")


def safe(text: str) -> str:
    """Text as HTML, without characters that no document holds."""
    return escape("".join(c if c.isprintable() else " " for c in text))


def funnel(found: Gathered) -> Iterator[str]:
    """The number of photos left after each filter."""
    left = found.photos
    yield bars({"all": left}, found.photos)
    for name, count in found.rejected.items():
        left -= count
        yield bars({f"without {name}": left}, found.photos, f"−{count}")
    yield bars({"kept": found.kept}, found.photos)


def bars(counts: Mapping[str, int], whole: int, note: str = "") -> str:
    """Rows with a bar each."""
    rows = []
    for name, count in counts.items():
        bar = f'<span class="bar"><i style="width:{100 * count / max(whole, 1):.1f}%"></i></span>'
        rows.append(f'<div class="row"><span>{safe(name)}</span>{bar}<span>{count} {safe(note)}</span></div>\n')
    return "".join(rows)


def people(found: Gathered, most: int) -> str:
    """Number of kept photos per person, the fewest first."""
    few = sorted(found.people_all, key=lambda name: (found.people[name], name))
    largest = max(found.people_all.values())
    rows = "".join(bars({name: found.people[name]}, largest, f"of {found.people_all[name]}") for name in few[:most])
    return rows + (f"<p>… and {len(few) - most} people with more.</p>\n" if len(few) > most else "")


def sheet(folder: Path, examples: Sequence[Example]) -> Iterator[str]:
    """A grid of photos, each with its text."""
    yield '<div class="sheet">\n'
    for example in examples:
        picture = thumbnail(folder, example.file_name)
        shown = f'<img alt="" src="data:image/jpeg;base64,{picture}">' if picture else "<p>cannot be shown</p>"
        text = safe(example.text[:TEXT])
        yield f"<figure>{shown}<figcaption>{safe(example.file_name)}<br>{text}</figcaption></figure>\n"
    yield "</div>\n"


def thumbnail(folder: Path, name: str) -> str | None:
    """A photo as a small JPEG in base64; None if it cannot be read."""
    try:
        picture = open_photo(resolve_inside(folder, name), reduce_to=1_000_000)
    except (PictureError, BolidError):
        return None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return base64.b64encode(file.getvalue()).decode()
