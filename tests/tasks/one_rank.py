"""One of two processes of a run in which things happen while samples are drawn: `one_rank.py RANK PORT FOLDER`."""

import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from lightning.pytorch.strategies import DDPStrategy

from bolid.callbacks.samples import SampleGrid
from bolid.core.ranks import gather
from bolid.tasks.stop import StopTogether
from tests.callbacks.callback_fakes import Line, loader, trainer

PATIENCE = timedelta(seconds=120)  # then a wait for ever is an error


class Interrupted(Line):
    """Something happens to one rank while it draws; the other has drawn its share and waits for the rest."""

    def __init__(self, happens):
        super().__init__()
        self.happens = happens

    def sample_grid(self):
        self.happens()
        rows = super().sample_grid()
        return [row for share in gather(rows) for row in share]


def happens(what, whom, rank):
    def now():
        if rank not in whom or what == "nothing":
            return
        time.sleep(1.0)  # the other rank waits by now
        if what == "error":
            raise RuntimeError("no picture")
        os.kill(os.getpid(), signal.SIGTERM)

    return now


def outcome(what, whom, rank, folder):
    """The exit status and the step at which a fit ended, or the error it ended with."""
    fit = trainer(folder, StopTogether(), SampleGrid(), devices=2, strategy=DDPStrategy(timeout=PATIENCE))
    try:
        fit.fit(Interrupted(happens(what, whom, rank)), loader(), loader(1))
    except SystemExit as stop:
        return {"status": stop.code, "step": fit.global_step}
    except RuntimeError as error:
        return {"error": str(error)}
    return {"step": fit.global_step}


if __name__ == "__main__":
    rank, port, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    events = [("nothing", []), ("sigterm", [0]), ("sigterm", [1]), ("sigterm", [0, 1]), ("error", [1])]
    found = [outcome(what, whom, rank, folder) for what, whom in events]
    (folder / f"rank{rank}.json").write_text(json.dumps(found))
