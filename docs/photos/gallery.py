"""Serves a folder of rendered people as a gallery site: `python docs/photos/gallery.py data/people`, then collect it.

Pages, thumbnails, photos' own pages and full pictures are as on the sites that `configs/collect` describes;
`configs/collect/gallery.yaml` describes this one. It answers on this machine alone.
"""

from __future__ import annotations

import argparse
import html
import io
import re
from collections import defaultdict
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image, ImageEnhance, ImageFilter

from bolid.core.photos import MARK, marked
from bolid.core.safe_io import resolve_inside

PEOPLE_PER_PAGE, PHOTOS_PER_PAGE, THUMBNAIL = 4, 6, (120, 120)


class Gallery:
    """The pages of a folder.

    Args:
        folder: Holds photos and their manifest.
        spoiled: Whether everybody's second photo is out of focus, and the third a darker copy of the first.
    """

    def __init__(self, folder: Path, spoiled: bool = False):
        self.folder, self.spoiled = folder, spoiled
        photos: dict[str, list[str]] = defaultdict(list)
        for manifest in sorted(folder.glob("**/metadata.parquet")):  # of each split, relative to it
            for row in pq.read_table(manifest, columns=["identity", "file_name"]).to_pylist():
                photos[row["identity"]].append((manifest.parent / row["file_name"]).relative_to(folder).as_posix())
        self.photos = list(photos.items())

    def answer(self, path: str) -> tuple[str, bytes] | None:
        """Content type and body; None where there is nothing."""
        if path == "/robots.txt":
            return "text/plain", b"User-agent: *\nAllow: /\n"
        for pattern, page in PAGES.items():
            if found := re.fullmatch(pattern, path):
                try:
                    return page(self, *(int(group or 1) for group in found.groups()))
                except IndexError:
                    return None
        return None

    def list(self, number: int) -> tuple[str, bytes]:
        """A page of people."""
        start = (number - 1) * PEOPLE_PER_PAGE
        cards = "".join(
            f'<div class="person"><a class="name" href="/person/{n}">{html.escape(name)}</a> '
            f'<span class="count">{len(photos)} photos</span></div>'
            for n, (name, photos) in enumerate(self.photos[start : start + PEOPLE_PER_PAGE], start)
        )
        return text("People", cards + links("/page/{}", len(self.photos), PEOPLE_PER_PAGE))

    def person(self, person: int, number: int) -> tuple[str, bytes]:
        """A page of somebody's photos."""
        name, photos = self.photos[person]
        start = (number - 1) * PHOTOS_PER_PAGE
        shown = range(start, min(start + PHOTOS_PER_PAGE, len(photos)))
        body = "".join(
            f'<a class="photo" href="/photo/{person}/{n}"><img src="/thumbnail/{person}/{n}"></a> ' for n in shown
        )
        return text(name, body + links(f"/person/{person}/page/{{}}", len(photos), PHOTOS_PER_PAGE))

    def photo(self, person: int, number: int) -> tuple[str, bytes]:
        """A photo's own page."""
        with Image.open(self._path(person, number)) as picture:
            width, height = picture.size
        full = f"/full/{person}/{number}"
        size = f'<span class="size">{width} x {height}</span>'
        return text(self.photos[person][0], f'<a class="full" href="{full}"><img src="{full}" width="300"></a> {size}')

    def thumbnail(self, person: int, number: int) -> tuple[str, bytes]:
        """A small copy."""
        file = io.BytesIO()
        with Image.open(self._path(person, number)) as picture:
            picture.thumbnail(THUMBNAIL)
            picture.convert("RGB").save(file, "JPEG")
        return "image/jpeg", file.getvalue()

    def full(self, person: int, number: int) -> tuple[str, bytes]:
        """The file as it is, or spoiled."""
        path = self._path(person, number)
        if self.spoiled and number in (1, 2):
            return "image/png", blurred(path) if number == 1 else darker(self._path(person, 0))
        return f"image/{path.suffix[1:].replace('jpg', 'jpeg')}", path.read_bytes()

    def _path(self, person: int, number: int) -> Path:
        return resolve_inside(self.folder, self.photos[person][1][number])


PAGES = {
    r"/(?:page/(\d+))?": Gallery.list,
    r"/person/(\d+)(?:/page/(\d+))?": Gallery.person,
    r"/photo/(\d+)/(\d+)": Gallery.photo,
    r"/thumbnail/(\d+)/(\d+)": Gallery.thumbnail,
    r"/full/(\d+)/(\d+)": Gallery.full,
}


def blurred(path: Path) -> bytes:
    """A photo out of focus."""
    with Image.open(path) as picture:
        blur = ImageFilter.GaussianBlur(min(picture.size) / 150)
        return png(picture.convert("RGB").filter(blur), picture)


def darker(path: Path) -> bytes:
    """A photo in other light."""
    with Image.open(path) as picture:
        return png(ImageEnhance.Brightness(picture.convert("RGB")).enhance(0.9), picture)


def png(picture: Image.Image, source: Image.Image) -> bytes:
    """A PNG file that is marked as rendered where its source is."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return marked(file.getvalue(), source.info[MARK]) if MARK in source.info else file.getvalue()


def text(title: str, body: str) -> tuple[str, bytes]:
    """A page of HTML."""
    title = html.escape(title)
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>"
    return "text/html; charset=utf-8", page.encode()


def links(address: str, things: int, per_page: int) -> str:
    """Links to all pages."""
    pages = range(1, -(-things // per_page) + 1)
    return "<nav>" + " ".join(f'<a href="{address.format(n)}">{n}</a>' for n in pages) + "</nav>"


def server(folder: Path, port: int = 8000, spoiled: bool = False) -> ThreadingHTTPServer:
    """A server on this machine alone; port 0 takes a free one."""
    gallery = Gallery(folder, spoiled)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = gallery.answer(self.path)
            kind, body = found or ("text/plain", b"not found")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing is printed."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--spoiled", action="store_true", help="two photos of everybody do not serve")
    options = parser.parse_args()
    site = server(options.folder, options.port, options.spoiled)
    print(f"http://127.0.0.1:{site.server_port}/ (Ctrl-C ends it)", flush=True)
    with suppress(KeyboardInterrupt):
        site.serve_forever()
