"""No command opens a connection that it was not asked for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

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
    ["identity", "create", "--name", "ann", "--folder", "photos", "--person", "p000000"],
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


def test_commands_connect_to_nobody(bundle, tmp_path):
    """Python reports its own connections; where there is strace, the system reports those of C++ libraries, too."""
    fabricate(tmp_path / "photos", {"train": 2, "val": 1, "test": 2}, silhouettes=True)
    fabricate(tmp_path / "album", {"": 2})
    environment = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "YOLO_OFFLINE")}
    environment |= {"PYTHONPATH": str(ROOT), "BOLID_TINY": str(bundle), "HOME": str(tmp_path / "home")}
    trace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg", "-o", "system.txt"]
    watched = bool(shutil.which("strace")) and not subprocess.run([*trace, "true"], cwd=tmp_path).returncode
    words = [*(trace if watched else []), sys.executable, "-c", SCRIPT.format(commands=COMMANDS)]
    ended = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.count("STATUS") == len(COMMANDS), ended.stderr[-2000:]
    assert re.findall(r"STATUS .* (\d+)", ended.stdout) == ["0"] * len(COMMANDS), ended.stderr[-2000:]
    assert (tmp_path / "python.txt").read_text() == ""
    if watched:
        calls = (tmp_path / "system.txt").read_text().splitlines()
        assert [line for line in calls if re.search(r"AF_INET|sin_addr|sin6_addr", line)] == []
