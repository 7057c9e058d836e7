"""What the doctor says of this machine, and of one that lacks things."""

import ctypes.util
from importlib.util import find_spec

import torch

import bolid
from bolid.cli import main
from bolid.commands import doctor
from bolid.vision.networks import NETWORKS


def test_it_names_versions_devices_networks_and_the_disk(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for found in (bolid.__version__, torch.__version__, f"{torch.get_num_threads()} threads", "GB free", *NETWORKS):
        assert found in printed
    assert "ok  bundle" in printed
    assert ("cuda:0" in printed) == torch.cuda.is_available()
    assert all(line[:2] in ("ok", "--", "!!") for line in printed.splitlines())


def test_what_is_missing_comes_with_its_remedy(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "scrapy" else find_spec(name))
    monkeypatch.setattr(doctor, "LEAST_DISK", float("inf"))
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path))
    (tmp_path / "tiny").mkdir()
    monkeypatch.setenv("BOLID_TINY", str(tmp_path / "tiny"))
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for remedy in ("apt-get install libegl1", "pip install 'bolid[photos]'", "bolid networks get", "set BOLID_TINY"):
        assert remedy in printed
    assert "!!  disk" in printed
