"""A package made here goes the way of a fetched one; what differs from the catalogue is refused."""

import hashlib
import io
import tarfile
import zipfile

import pytest
import torch

from bolid.core.errors import BolidError
from bolid.core.safe_io import load_safetensors, safetensors_metadata
from bolid.vision import fetch, networks
from bolid.vision.networks import Converted, Entry, Package, RawFile

WEIGHTS, SHAPE = b"\x00\x00\x80\x3f" * 4, b"[2, 2]"
FILES = {"inner/toy.bin": WEIGHTS, "inner/toy.json": SHAPE}


def convert(files):
    """A converter as the catalogue names one."""
    shape = [int(word) for word in files["toy.json"].decode().strip("[]").split(",")]
    return Converted(
        {"w": torch.frombuffer(bytearray(files["toy.bin"]), dtype=torch.float32).reshape(shape)}, {"a": "b"}
    )


def digest(data):
    return hashlib.sha256(data).hexdigest()


def tar(members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def zipped(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def entry(archive, files=FILES, registry="npm", **more):
    package = Package(registry, "toy", "1.0", digest(archive), len(archive))
    raw = tuple(RawFile(name, digest(data), len(data)) for name, data in files.items())
    return Entry("plays", "MIT", package, raw, "tests.vision.test_fetch:convert", **more)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def toy(tmp_path, cache, monkeypatch):
    archive = tmp_path / "toy-1.0.tgz"
    archive.write_bytes(tar(FILES | {"../escape": b"x"}))
    monkeypatch.setattr(networks, "NETWORKS", {"toy": entry(archive.read_bytes())})
    return archive


@pytest.mark.parametrize("pack", [tar, zipped])
def test_an_archive_becomes_safetensors_in_the_cache(tmp_path, cache, monkeypatch, pack):
    archive = tmp_path / "any name"
    archive.write_bytes(pack(FILES))
    known = entry(archive.read_bytes())
    monkeypatch.setattr(networks, "NETWORKS", {"toy": known})
    with pytest.raises(BolidError, match="toy is not here: run `bolid networks get toy`"):
        networks.network("toy")
    fetch.convert("toy", known, fetch.read_files(known, archive))
    assert networks.network("toy") == cache / "toy.safetensors"
    assert load_safetensors(networks.network("toy"))["w"].tolist() == [[1, 1], [1, 1]]
    assert safetensors_metadata(networks.network("toy")).items() >= {"a": "b", "licence": "MIT"}.items()
    assert [path.name for path in cache.iterdir()] == ["toy.safetensors"]


@pytest.mark.parametrize("given", ["", "toy.json", "toy.bin"])
def test_the_files_themselves_do_as_well(tmp_path, toy, given):
    for name, data in FILES.items():
        (tmp_path / name.rpartition("/")[2]).write_bytes(data)
    assert fetch.read_files(networks.NETWORKS["toy"], tmp_path / given) == {"toy.bin": WEIGHTS, "toy.json": SHAPE}


def test_what_differs_by_a_byte_is_refused_unread(tmp_path, toy, monkeypatch):
    monkeypatch.setattr(fetch, "read_member", lambda *_: pytest.fail("an archive was opened"))
    data = bytearray(toy.read_bytes())
    data[-1] ^= 1
    toy.write_bytes(data)
    for given in (toy, tmp_path / "absent", tmp_path):
        with pytest.raises(BolidError, match=r"byte for byte; `npm pack toy@1\.0` gets"):
            fetch.read_files(networks.NETWORKS["toy"], given)


@pytest.mark.parametrize("pack", [tar, zipped])
def test_members_are_read_by_name_and_never_beyond_their_size(tmp_path, pack):
    path = tmp_path / "archive"
    path.write_bytes(pack({"inner/toy.bin": WEIGHTS * 1000}))
    assert len(fetch.read_member(path, RawFile("inner/toy.bin", digest(WEIGHTS), len(WEIGHTS)))) == len(WEIGHTS) + 1
    known = entry(path.read_bytes())
    with pytest.raises(BolidError, match=r"toy\.bin: its SHA-256"):
        fetch.read_files(known, path)
    with pytest.raises(BolidError, match="holds no inner/other"):
        fetch.read_member(path, RawFile("inner/other", "", 1))


def test_a_link_in_an_archive_is_no_file(tmp_path):
    path = tmp_path / "archive"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("inner/toy.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(info)
    with pytest.raises(BolidError, match="holds no"):
        fetch.read_member(path, RawFile("inner/toy.bin", "", 1))


def test_weights_of_another_revision_are_made_anew(toy, monkeypatch):
    known = networks.NETWORKS["toy"]
    fetch.convert("toy", known, fetch.read_files(known, toy))
    monkeypatch.setattr(networks, "NETWORKS", {"toy": entry(toy.read_bytes(), revision=2)})
    with pytest.raises(BolidError, match="was made from other files: run `bolid networks get toy`"):
        networks.network("toy")


def test_a_failed_conversion_leaves_nothing(toy, cache):
    with pytest.raises(RuntimeError):
        fetch.convert("toy", networks.NETWORKS["toy"], {"toy.bin": WEIGHTS, "toy.json": b"[3,3]"})
    assert not list(cache.glob("**/*.safetensors*"))


@pytest.mark.parametrize("registry", ["npm", "pypi"])
def test_without_a_client_or_a_network_it_says_what_to_do(tmp_path, monkeypatch, registry):
    package = entry(b"", registry=registry).package
    monkeypatch.setattr(fetch, "_client", lambda *_: ["no-such-client"])
    with pytest.raises(BolidError, match=r"no-such-client is not installed\). Where there is a network, run `"):
        fetch.download(package, tmp_path)
    monkeypatch.setattr(fetch, "_client", lambda *_: ["sh", "-c", "echo ERROR: no route to host >&2; exit 1"])
    with pytest.raises(
        BolidError, match=r"no route to host\). Where .* give it to `bolid networks get NAME --from FILE`"
    ):
        fetch.download(package, tmp_path)


def test_a_client_that_brings_another_file_is_not_believed(tmp_path, toy, monkeypatch):
    monkeypatch.setattr(fetch, "_client", lambda *_: ["sh", "-c", "echo x > toy-1.0.tgz"])
    (tmp_path / "fresh").mkdir()
    with pytest.raises(BolidError, match="brought another file"):
        fetch.download(networks.NETWORKS["toy"].package, tmp_path / "fresh")


def test_pip_is_given_the_hash_so_that_it_runs_nothing_else(tmp_path):
    package = Package("pypi", "toy", "1.0", "a" * 64, 1, ("--only-binary=:all:",))
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(fetch._client(package, tmp_path))
    assert (tmp_path / "requirements.txt").read_text() == f"toy==1.0 --hash=sha256:{'a' * 64}\n"
    assert "--ignore-scripts" in fetch._client(Package("npm", "toy", "1.0", "", 1), tmp_path)


def test_every_entry_is_whole():
    for name, known in networks.NETWORKS.items():
        assert all(len(file.sha256) == 64 and file.size < known.package.size for file in known.files), name
        assert len({file.name for file in known.files}) == len(known.files) > 0
        assert known.licence
        assert known.purpose
        assert ":" in known.converter
