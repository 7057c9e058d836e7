"""What ends a fit early, above all on two processes, of which one waits for the other's samples."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bolid.callbacks.stop import StopTogether
from tests.callbacks.callback_fakes import Line, loader, trainer

HERE = Path(__file__).parent


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def test_two_ranks_end_together_whatever_happens_to_one_while_samples_are_drawn(tmp_path):
    port, environment = free_port(), os.environ | {"PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, HERE / "one_rank.py"]
    ranks = [subprocess.Popen([*command, str(rank), port, tmp_path], env=environment) for rank in (0, 1)]
    try:
        assert [rank.wait(600) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first[0] == second[0] == {"step": 4}  # nothing happened
    assert first[1:4] == [{"status": 143, "step": 2}] * 3  # a SIGTERM to the first, to the second, to both
    assert second[1:4] == [{"status": 0, "step": 2}] * 3
    assert second[4] == {"error": "no picture"}
    assert "timed out" not in first[4]["error"].lower()  # its neighbour is gone, and it notices
    assert len(list((tmp_path / "samples").iterdir())) == 2  # of the first run; the others drew step 2 anew


def test_the_signal_is_as_before_once_a_fit_has_ended(tmp_path):
    class Terminated(Line):
        def training_step(self, batch, batch_idx):
            if batch_idx == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().training_step(batch, batch_idx)

    before = signal.getsignal(signal.SIGTERM)
    fit = trainer(tmp_path, StopTogether())
    with pytest.raises(SystemExit) as end:
        fit.fit(Terminated(), loader(), loader(1))
    assert end.value.code == 143
    assert fit.global_step == 3  # the step in hand is finished
    assert signal.getsignal(signal.SIGTERM) == before
