"""What a step of stage 2 costs with each loss, on one core: seconds, and the ratio to L_diff alone in the same run.

Renders what `make demo` renders, if that is not there yet. Options are those of `bolid fit`.
"""

import sys
import time
from math import inf
from pathlib import Path

import torch
from lightning.pytorch.cli import LightningCLI

from bolid.data.datamodule import IdentityDataModule
from bolid.tasks.base import BaseTask
from bolid.tasks.precision import emulated, quick_attention

CONFIGS = Path(__file__).parents[1] / "configs"
ROUNDS = 5


def task(*overlays: Path) -> LightningCLI:
    """The task and the data of `adapter.yaml` and overlays."""
    words = [word for file in (CONFIGS / "adapter.yaml", *overlays) for word in ("--config", str(file))]
    ways = {"subclass_mode_model": True, "subclass_mode_data": True, "save_config_callback": None, "run": False}
    return LightningCLI(BaseTask, IdentityDataModule, **ways, args=[*words, *sys.argv[1:]])


def main() -> None:
    """Takes turns, so that whatever else the machine does slows all of them down; prints medians."""
    torch.set_num_threads(1)
    quick_attention()  # as the command line does
    tasks = {"L_diff": task()} | {file.stem: task(file) for file in sorted((CONFIGS / "losses").glob("*.yaml"))}
    data = tasks["L_diff"].datamodule
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(ROUNDS + 1):
        for name, command in tasks.items():
            model, start = command.model.train(), time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=not emulated("cpu")):
                model.total(model.terms(batch, torch.Generator().manual_seed(number), inf), inf).backward()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: sorted(values[1:])[ROUNDS // 2] for name, values in seconds.items()}  # the first one warms up
    for name, value in medians.items():
        print(f"{name:12} {value:5.2f} s {value / medians['L_diff']:5.2f}")


if __name__ == "__main__":
    main()
