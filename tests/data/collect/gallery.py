"""A gallery site on loopback, with whatever a site can do wrong."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[3]
SITE = """
start: ['{root}/']
licence: CC0 by the test
people:
  card: div.card
  person: a.name
  count: span.count
  more: a.more
gallery:
  photo: a.photo
  pages: nav a
  page_number: '[?]page=(\\d+)'
picture:
  full: [div.big a]
  size: span.size
  thumbnail:
    - pattern: _s[.]
      replacement: '.'
"""


def picture(seed: int, size=(48, 40), kind="JPEG") -> bytes:
    """A picture of its own for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(file, kind)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few bytes."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@dataclass
class Answer:
    """What a path answers; `times` of them (all, if None), and then `later`."""

    body: bytes = b""
    kind: str = "image/jpeg"
    status: int = 200
    headers: dict = field(default_factory=dict)
    pause: float = 0.0  # seconds between bytes
    length: int | None = None  # told in place of the true one; -1 tells none
    repeat: int = 1  # how often the body is sent
    times: int | None = None
    later: Answer | None = None


class Gallery:
    """Pages and photos by path, and a log of what was asked for."""

    def __init__(self):
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, float, dict]] = []
        self.count = Counter()
        self.notice = lambda number: None
        self.people: dict[str, list[str]] = {}
        gallery = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                gallery.answer(self)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, address):
                pass  # a client that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, handler):
        path = handler.path
        self.asked.append((path, time.monotonic(), dict(handler.headers)))
        self.count[path] += 1
        self.notice(len(self.asked))
        answer = self.answers.get(path, Answer(b"nothing here", "text/html", 404))
        if answer.times is not None and self.count[path] > answer.times:
            answer = answer.later
        handler.send_response(answer.status)
        for name, value in ({"Content-Type": answer.kind} if answer.kind else {} | answer.headers).items():
            handler.send_header(name, value)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        length = len(answer.body) * answer.repeat if answer.length is None else answer.length
        if length >= 0:
            handler.send_header("Content-Length", str(length))
        else:
            handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in range(answer.repeat):
            if answer.pause:
                for byte in answer.body:
                    handler.wfile.write(bytes([byte]))
                    time.sleep(answer.pause)
            else:
                handler.wfile.write(answer.body)
        if length != len(answer.body) * answer.repeat:
            handler.close_connection = True

    def add(self, person: str, *photos: bytes | Answer, size: str = "", full: str = "") -> None:
        """Photos of a person, each on a page of its own; `size` and `full` are what the page of a single one says."""
        for photo in photos:
            number = len(self.people.setdefault(person, []))
            path = full or f"/full/{person}/{number}.jpg"
            if not full:
                self.answers[path] = photo if isinstance(photo, Answer) else Answer(photo)
            text = f'<div class=big><a href="{path}">large</a></div><span class=size>{size}</span>'
            self.page(f"/photo/{person}/{number}", text)
            self.people[person].append(f"/photo/{person}/{number}")

    def page(self, path: str, text: str, **more) -> None:
        """A page of HTML."""
        self.answers[path] = Answer(f"<html><body>{text}</body></html>".encode(), "text/html; charset=utf-8", **more)

    def build(self, people_per_page: int = 2, photos_per_page: int = 3) -> None:
        """Makes list and gallery pages of what was added."""
        names = list(self.people)
        chunks = [names[i : i + people_per_page] for i in range(0, len(names), people_per_page)]
        for number, chunk in enumerate(chunks):
            cards = "".join(
                f'<div class=card><a class=name href="/p/{name}">{name}</a><span class=count>{len(self.people[name])} '
                "photos</span></div>"
                for name in chunk
            )
            links = "".join(f'<a class=more href="/list/{n}">{n}</a>' for n in range(1, len(chunks)))
            self.page(f"/list/{number}" if number else "/", cards + links)
        for name, pages in self.people.items():
            parts = [pages[i : i + photos_per_page] for i in range(0, len(pages), photos_per_page)]
            last = f'<nav><a href="/p/{name}?page={len(parts)}">last</a></nav>' if len(parts) > 1 else ""
            for number, part in enumerate(parts, 1):
                links = "".join(f'<a class=photo href="{path}"><img src="/thumbs{path}_s.jpg"></a>' for path in part)
                self.page(f"/p/{name}?page={number}" if number > 1 else f"/p/{name}", links + last)

    @contextmanager
    def served(self):
        """Answers while it lasts."""
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _, _ in self.asked]


def faulty() -> Gallery:
    """Three people, of whom one has every fault; every photo is 48x40 unless it says otherwise."""
    site = Gallery()
    site.answers["/robots.txt"] = Answer(b"User-agent: *\nDisallow: /secret/\n", "text/plain")
    site.add("Ann", *(picture(n) for n in range(7)))
    faults = {
        "html": Answer(b"<html>no photo</html>", "text/html"),
        "fake": Answer(b"<html>no photo</html>"),
        "cut": Answer(picture(100, (400, 400))[:2000]),
        "short": Answer(picture(101), length=10**5),
        "slow": Answer(picture(102), pause=0.05),
        "huge": Answer(b"x" * 1000, length=5 * 2**30),
        "endless": Answer(bytes(10**6), repeat=60, length=-1),
        "zipped": Answer(gzip.compress(bytes(6 * 10**7)), headers={"Content-Encoding": "gzip"}),
        "bomb": Answer(bomb(), "image/png"),
        "loop": Answer(status=302, headers={"Location": "/full/Fay/9.jpg"}),
        "away": Answer(
            status=302, headers={"Location": f"{site.root.replace('127.0.0.1', '127.0.0.2')}/full/Ann/0.jpg"}
        ),
        "noai": Answer(picture(103), headers={"X-Robots-Tag": "noai, noimageai"}),
        "noindex": Answer(picture(104), headers={"X-Robots-Tag": "noindex"}),
        "other": Answer(picture(105), headers={"X-Robots-Tag": "otherbot: noindex"}),  # kept
        "busy": Answer(status=429, headers={"Retry-After": "2"}, times=1, later=Answer(picture(106))),  # kept
        "flaky": Answer(status=500, times=2, later=Answer(picture(107))),  # kept
        "gone": Answer(b"", "text/html", 404),
        "copy": Answer(picture(0)),
        "small": Answer(picture(108, (24, 24))),
        "untyped": Answer(picture(109, kind="PNG"), ""),  # kept
        "vector": Answer(b"<svg/>", "image/svg+xml"),
    }
    site.add("Fay", *faults.values())
    site.add("Fay", b"", size="30 x 20", full="/full/small.jpg")
    site.add("Fay", b"", full="/secret/1.jpg")
    site.add("Fay", b"", full="http://169.254.169.254/latest/meta-data")
    site.add("Fay", b"", full="http://[::1]:1/x.jpg")
    site.add("Fay", b"", full="http://2130706434/x.jpg")  # 127.0.0.2 in one number
    site.add("Fay", b"", full="file:///etc/passwd")
    site.add("Fay", b"", full="http://nowhere.invalid/x.jpg")
    site.add("Fay", b"", full="/full/Ann/1.jpg")
    site.page(
        "/photo/Fay/99", '<meta name="ROBOTS" content="NOAI"><div class=big><a href="/full/Ann/2.jpg">x</a></div>'
    )
    site.people["Fay"].append("/photo/Fay/99")
    site.add("Zoe", *(picture(n) for n in range(200, 204)))
    site.build()
    return site


def command(folder: Path, site: Path | str, *words: str) -> list[str]:
    """The command line that collects from a site on loopback, without pauses."""
    start = [sys.executable, "-m", "bolid.cli", "data", "collect", str(folder), str(site)]
    return [*start, "--contact", "tests@example.org", "--delay", "0", "--min_size", "32", *words]


LOOPBACK = ("--allow_private", "127.0.0.1")


def run(folder: Path, site: Path | str, *words: str) -> subprocess.CompletedProcess:
    """Collects in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command(folder, site, *words), cwd=folder.parent, env=environment, capture_output=True, text=True, timeout=120
    )


def described(gallery: Gallery, folder: Path) -> Path:
    """The file of the site's description."""
    path = folder / "site.yaml"
    path.write_text(SITE.format(root=gallery.root))
    return path


def rows(folder: Path) -> list[dict]:
    """The lines of the journal."""
    return [json.loads(line) for line in (folder / "collected.jsonl").read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    """Photos by name."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if "/" in name and name[0] != "."}
