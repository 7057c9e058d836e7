"""No command opens a connection that it was not asked for."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bolid.data.manifest import write_manifest
from tests.data.fabricate import fabricate

ROOT = Path(__file__).parents[1]
SMALL = ["--data.folder", "photos", "--data.batch_size", "2", "--trainer.accelerator", "cpu"]
SMALL += ["--trainer.precision", "32-true", "--model.evaluation.sampling.steps", "1"]
ADAPTER = ["--config", str(ROOT / "configs/adapter.yaml"), "--config", str(ROOT / "configs/data/folder.yaml"), *SMALL]
FIT = [*ADAPTER, "--trainer.max_steps", "1", "--trainer.limit_val_batches", "0", "--trainer.logger.version", "x"]
COMMANDS = [
    ["--help"],
    ["data", "label", "album"],
    ["fit", *FIT],
    ["identity", "create", "--name", "ann", "--folder", "photos", "--person", "PERSON"],
    ["generate", "a person", "--adapter", "runs/adapter/x/adapter", "--identity", "ann", "--steps", "1"],
]
SCRIPT = """
import sys
seen = open("python.txt", "w")
def hook(event, args):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request") or (
        event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple)
    ):
        print(event, args, file=seen, flush=True)
sys.addaudithook(hook)
from bolid.cli import main
for words in {commands}:
    print("STATUS", words[:2], main(words), flush=True)
"""


@pytest.mark.slow
def test_commands_connect_to_nobody(bundle, tmp_path):
    """Python reports its own connections; where there is strace, the system reports those of C++ libraries, too."""
    records = fabricate(tmp_path / "photos", {"train": 2, "val": 1, "test": 2}, silhouettes=True)
    write_manifest(tmp_path / "photos", [replace(r, face_model="f" * 64) for r in records])
    fabricate(tmp_path / "album", {"": 2})
    environment = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "YOLO_OFFLINE")}
    environment |= {"PYTHONPATH": str(ROOT), "BOLID_TINY": str(bundle), "HOME": str(tmp_path / "home")}
    trace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg", "-o", "system.txt"]
    watched = bool(shutil.which("strace")) and not subprocess.run([*trace, "true"], cwd=tmp_path).returncode
    commands = [[word.replace("PERSON", records[0].identity) for word in words] for words in COMMANDS]
    words = [*(trace if watched else []), sys.executable, "-c", SCRIPT.format(commands=commands)]
    ended = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.count("STATUS") == len(COMMANDS), ended.stderr[-2000:]
    statuses = re.findall(r"STATUS .* (\d+)", ended.stdout)
    assert statuses[2:] == ["0"] * 3, ended.stderr[-2000:]  # an untrained pose network may label nobody
    assert (tmp_path / "python.txt").read_text() == ""
    assert not list((tmp_path / "home").rglob("*onnxruntime*"))  # its telemetry's id, and events to be sent later
    if watched:
        calls = (tmp_path / "system.txt").read_text().splitlines()
        assert [line for line in calls if re.search(r"AF_INET|sin_addr|sin6_addr", line)] == []
