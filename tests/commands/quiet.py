"""A trainer for tests: on the CPU, short, and writing only what it is asked to."""

from lightning.pytorch import Trainer


def quiet_trainer(folder, **settings):
    """A `Trainer` of two steps without logger, checkpoints and progress bar; `settings` have the last word."""
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    usual = dict.fromkeys(off, False) | {"max_steps": 2, "num_sanity_val_steps": 0, "accelerator": "cpu", "devices": 1}
    return Trainer(default_root_dir=folder, **(usual | settings))
