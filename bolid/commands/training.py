"""The training verbs as Lightning's command line, with checks before anything is loaded or rendered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from bolid.callbacks.bfloat16 import quick_attention, quick_precision
from bolid.commands.named import MergesByName
from bolid.commands.parser import OneLineErrors
from bolid.core.errors import BolidError
from bolid.data.datamodule import IdentityDataModule
from bolid.tasks.base import BaseTask, read_checkpoint


class Parser(MergesByName, OneLineErrors, LightningArgumentParser):
    """Lightning's parser with errors of one line and settings that are keyed by name."""


class Command(LightningCLI):
    """`bolid fit|validate|test|predict`: task and data are chosen by `class_path` in the configuration.

    Args:
        argv: The verb and its options.
    """

    def __init__(self, argv: list[str]):
        super().__init__(
            BaseTask,
            IdentityDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            # A test in the run of a fit must not replace what the fit was configured with.
            save_config_kwargs={
                "overwrite": True,
                "config_filename": "config.yaml" if argv[0] == "fit" else f"{argv[0]}.yaml",
            },
            parser_class=Parser,
            parser_kwargs={"allow_abbrev": False, "prog": "bolid"},
            args=argv,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Callbacks by name, beside a `trainer.callbacks` list of one's own."""
        parser.add_argument(
            "--callbacks",
            type=dict[str, Callback | None],
            default={},
            help="What rides along with the run, by names of one's own; null leaves out what an earlier file named.",
        )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds them."""
        own = self._get(self.config_init, "trainer")["callbacks"] or []
        named = self._get(self.config_init, "callbacks").values()
        return super().instantiate_trainer(callbacks=[*(own if isinstance(own, list) else [own]), *named], **kwargs)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Checks the checkpoint before Lightning opens it, and has nothing unpickled."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        check_checkpoint(config.ckpt_path)
        config.weights_only = True

    def before_instantiate_classes(self) -> None:
        """Refuses what would fail, or draw with untrained weights, only after minutes of loading and rendering."""
        verb = str(self.subcommand)
        config = self.config[verb]
        check_weights(verb, config.ckpt_path, config.model.get("init_args", {}))
        config.trainer.precision = quick_precision(config.trainer.precision, config.trainer.accelerator)
        quick_attention()
        only_data = Namespace({verb: Namespace(data=config.data), "subcommand": verb})
        self.parser.instantiate_classes(only_data)[verb].data.require(verb)

    def before_fit(self) -> None:
        """Training is counted in steps, and without a number of epochs Lightning's Rich bar counts to epoch -2."""
        trainer: Any = self.trainer
        bar = TQDMProgressBar(refresh_rate=trainer.log_every_n_steps)
        trainer.callbacks[:] = [bar if isinstance(c, RichProgressBar) else c for c in trainer.callbacks]


def check_checkpoint(path: str | None) -> None:
    """Checkpoints are local files (Lightning would unpickle what a URL gives) or Lightning's words for one of its own.

    Raises:
        BolidError: if there is no such file, or no fit wrote it.
    """
    if path in (None, "best", "last", "hpc"):
        return
    if "pytorch-lightning_version" not in read_checkpoint(Path(str(path)), "ckpt_path"):
        raise BolidError(f"ckpt_path: {path} holds weights, but no checkpoint that `bolid fit` wrote")


def check_weights(verb: str, checkpoint: str | None, task: Mapping[str, Any]) -> None:
    """What is drawn or measured comes from trained weights: every verb but `fit` needs some.

    Args:
        verb: What is to be run.
        checkpoint: To load, if any.
        task: The task's settings. It may start from a checkpoint of its own; a test may measure an exported network, or
            a base model alone.

    Raises:
        BolidError: if there is none.
    """
    exported = verb == "test" and task.get("exported")
    alone = verb == "test" and task.get("branches") == []
    if verb != "fit" and not (checkpoint or task.get("init_from") or exported or alone):
        other = "`init_from`, or `exported`, the folder of a network" if "exported" in task else "`init_from`"
        raise BolidError(
            f"{verb}: which weights? Give `--ckpt_path runs/.../checkpoints/last.ckpt`, a checkpoint that `bolid fit` "
            f"wrote, or the task's setting {other}"
        )
