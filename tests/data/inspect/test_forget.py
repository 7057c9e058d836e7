"""A person is gone from everywhere, and nobody else is."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bolid.cli import main
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity
from bolid.core.identity_file import IdentityFolder
from bolid.core.safe_io import sha256
from bolid.core.schema import ImageRecord
from bolid.core.trained_on import TrainedOn
from bolid.data.annotate.store import Finding, Store
from bolid.data.collect.journal import Journal
from bolid.data.curate.run import curate_photos
from bolid.data.curate.verdicts import read_verdicts
from bolid.data.inspect.forget import forget
from bolid.data.manifest import read_manifest, write_manifest
from tests.data.curate.photos import people, write
from tests.data.curate.test_curate import plain


@pytest.fixture
def world(tmp_path):
    """A set of three people with everything that commands leave behind, and two runs, one of which saw p1."""
    folder = tmp_path / "set"
    names = people(folder)
    keypoints, box = np.ones((17, 3), np.float32), np.ones(4, np.float32)
    write_manifest(folder, [ImageRecord(n, n[:2], [], keypoints, box, sha256=sha256(folder / n)) for n in names])
    curate_photos(folder, plain())
    found = pa.table({"file_name": names, "keypoints": [[0.0]] * len(names)})
    (folder / ".found").mkdir()
    pq.write_table(found, folder / ".found/abc.parquet")
    hexadecimal = pa.table({"sha256": [sha256(folder / n) for n in names]})
    (folder / ".annotations").mkdir()
    pq.write_table(hexadecimal, folder / ".annotations/faces.parquet")
    for name in names:
        write(folder, name.replace(".jpg", ".txt"), b"a person")
        write(folder, f".masks/{name}.png", b"x")
    write(folder, ".cache/photos-1/pictures.npy", b"x")
    lines = [json.dumps({"file_name": name, "address": "https://x"}) + "\n" for name in names]
    (folder / "collected.jsonl").write_text("".join([*lines, "broken\n"]))
    for person in ("p0", "p1"):
        IdentityFolder(tmp_path / "identities").save(person, Identity({"body": Embedding(torch.ones(4), "m")}))
    for run, who in {"saw": ["p1", "p2"], "other": ["p2"]}.items():
        trained = TrainedOn.of(who)
        card = {"identities": {"salt": trained.salt, "hashes": list(trained.hashes)}}
        write(tmp_path, f"runs/{run}/adapter/adapter.json", json.dumps(card).encode())
        write(tmp_path, f"runs/{run}/sheet.png", b"x")
    return tmp_path


def everything(world):
    return {p.relative_to(world).as_posix(): p.read_bytes() for p in world.rglob("*") if p.is_file()}


def ask(world, **more):
    return forget(world / "set", "p1", world / "identities", [world / "runs"], **more)


def test_without_yes_nothing_changes(world):
    before = everything(world)
    told = ask(world)
    assert told.startswith("would remove p1 (nothing is removed without `--yes true`)")
    assert everything(world) == before


def test_a_person_is_gone_and_the_others_are_as_they_were(world):
    before = everything(world)
    told = ask(world, yes=True)
    after = everything(world)
    gone = before.keys() - after.keys()
    own = {name for name in before if name.startswith(("set/p1/", "set/.masks/p1/"))}
    assert gone == own | {"identities/p1.safetensors", "runs/saw/sheet.png", "set/.cache/photos-1/pictures.npy"}
    assert not (world / "set/p1").exists()
    assert [r.identity for r in read_manifest(world / "set")] == ["p0"] * 4 + ["p2"] * 4
    assert all(not name.startswith("p1/") for name in read_verdicts(world / "set"))
    for table in ("set/.found/abc.parquet", "set/.annotations/faces.parquet", "set/.curation/photos.parquet"):
        assert pq.read_table(world / table).num_rows == 8
    assert next((world / "set/.curation").glob("pixels-*")).is_file()
    assert len((world / "set/collected.jsonl").read_text().splitlines()) == 9
    for line in ("4 rows of the manifest", "8 photos and other files", "4 silhouettes", "identity", "collected.jsonl"):
        assert line in told
    assert f"trained on p1, and still are: {world / 'runs/saw/adapter'}" in told
    assert "other/adapter" not in told
    assert all(after[n] == before[n] for n in after if n.startswith(("set/p0", "set/p2", "runs/other")))


def test_asked_again_nobody_is_there(world):
    ask(world, yes=True)
    with pytest.raises(BolidError, match="knows no 'p1'"):
        forget(world / "set", "p1", world / "identities", [])


@pytest.mark.parametrize("name", ["..", "../identities", "", "nobody", "/etc", ".curation"])
def test_no_name_leads_elsewhere(world, name):
    before = everything(world)
    with pytest.raises(BolidError):
        forget(world / "set", name, world / "identities", [], yes=True)
    assert everything(world) == before


def test_the_command_line(world, capsys):
    words = ["data", "forget", str(world / "set"), "--identity", "p1", "--identities", str(world / "identities")]
    assert main([*words, "--runs", str(world / "runs"), "--yes", "true"]) == 0
    assert "removed p1" in capsys.readouterr().out


def annotated(folder, names):
    """What annotating leaves of these photos, each with a face and a silhouette."""
    store = Store(folder)
    for name in names:
        content = sha256(folder / name)
        mask = f".masks/{content[:2]}/{content[:40]}-{'0' * 8}.png"
        write(folder, mask, b"x")
        store.add_file(name, name[:2], "0", content)
        face = np.full(128, 0.25, np.float32)
        store.add(content, "m", Finding("", "", np.ones((17, 3), np.float32), np.ones(4, np.float32), face, mask))
    store.know("manifest", [(name, "", {}) for name in names])
    store.close()
    left = [json.dumps({"file_name": f"{person}/bad.png", "kind": "broken", "why": ""}) for person in ("p0", "p1")]
    (folder / ".annotations/left_out.jsonl").write_text("".join(f"{line}\n" for line in left))


def test_what_annotation_keeps_of_a_person_is_gone(world):
    folder = world / "set"
    names = [r.file_name for r in read_manifest(folder)]
    (folder / "p1/bad.png").write_bytes(b"broken")
    annotated(folder, names)
    before = everything(world)
    assert "4 silhouettes in" in ask(world)
    assert everything(world) == before
    told = ask(world, yes=True)
    assert "4 rows of" in told
    assert len(list((folder / ".masks").glob("??/*-00000000.png"))) == 8
    assert (folder / ".annotations/left_out.jsonl").read_text().count("\n") == 1
    store = Store(folder)
    gone = [name for name in names if name.startswith("p1/")]
    assert [store.known("manifest", name) is None for name in names] == [name in gone for name in names]
    assert store.base.execute("SELECT count(*) FROM findings").fetchone() == (8,)
    assert store.base.execute("SELECT count(*) FROM files").fetchone() == (8,)
    store.close()


def test_a_content_that_is_somebody_elses_too_stays_theirs(world):
    folder = world / "set"
    names = [r.file_name for r in read_manifest(folder)]
    theirs = next(name for name in names if name.startswith("p1/"))
    write(folder, "p2/same.jpg", (folder / theirs).read_bytes())
    annotated(folder, [*names, "p2/same.jpg"])
    ask(world, yes=True)
    store = Store(folder)
    assert store.finding(sha256(folder / "p2/same.jpg"), "m") is not None
    store.close()


def test_who_was_collected_is_not_collected_again(world):
    (world / "set/.collected").mkdir()
    line = {"identity": "p1", "person": "https://x/p1"}
    (world / "set/.collected/people.jsonl").write_text(json.dumps(line) + "\n")
    ask(world, yes=True)
    journal = world / "set/collected.jsonl"
    journal.write_text("")
    assert Journal(world / "set", write=False).is_forgotten("https://x/p1")
