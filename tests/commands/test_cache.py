"""What is kept on the disk: all of it is found, and nothing else is removed."""

from pathlib import Path

import pytest

from bolid.cli import main


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A home and a working folder with one place of every kind, and look-alikes of other programs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path / "home/bolid"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home/hub"))
    files = {
        "networks": "home/bolid/movenet.safetensors",
        "copies": "data/people/.cache/photos-frame-1/pictures.npy",
        "annotations": "data/people/.annotations/annotations.sqlite",
        "curation": "data/people/.curation/pixels.parquet",
        "hub": "home/hub/models--org--name/weights",
        "imported": "home/bolid/imported/own/model.safetensors",
        "photo": "data/people/ann/1.jpg",
        "another's": ".cache/pip/wheel",
        "foreign": "data/.annotations/notes.txt",
    }
    for name in files.values():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x" * 2_000_000)
    return {kind: Path(name) for kind, name in files.items()}


def test_all_is_listed_with_its_size_and_what_removing_it_costs(kept, capsys):
    assert main(["cache", "list"]) == 0
    printed = capsys.readouterr().out
    for kind in ("networks", "copies", "annotations", "curation", "hub"):
        assert f"{kind:12}       2.0 MB" in printed
    assert "10.0 MB in 5 places" in printed
    assert "ann" not in printed.replace("annotations", "").replace("annotate", "")


@pytest.mark.parametrize("kind", ["networks", "copies", "annotations", "curation"])
def test_one_kind_is_removed_and_nothing_else(kept, capsys, kind):
    assert main(["cache", "clear", kind]) == 0
    assert "2.0 MB" in capsys.readouterr().out
    assert {name for name, path in kept.items() if not path.exists()} == {kind}
    assert main(["cache", "clear", kind]) == 0
    assert "nothing of" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["clear"], ["clear", "hub"], ["clear", "everything"]])
def test_what_is_not_ours_to_remove_is_refused_in_one_line(kept, capsys, words):
    assert main(["cache", *words]) in (1, 2)
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert all(path.exists() for path in kept.values())
