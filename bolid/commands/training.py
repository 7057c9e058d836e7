"""The training verbs as Lightning's command line, with checks before anything is loaded or rendered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from bolid.commands.named import MergesByName
from bolid.commands.parser import OneLineErrors
from bolid.core.errors import BolidError
from bolid.data.datamodule import IdentityDataModule
from bolid.tasks.base import BaseTask
from bolid.tasks.checkpoints import find_checkpoint
from bolid.tasks.precision import quick_precision


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
            load_from_checkpoint_support=False,
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
        """Checks the checkpoint before anything is loaded."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        if config.ckpt_path not in (None, "best", "last", "hpc"):  # Lightning's words for those it finds itself
            config.ckpt_path = str(find_checkpoint(Path(config.ckpt_path), "ckpt_path"))

    def _parse_ckpt_path(self) -> None:
        """Lightning would lay the settings that a checkpoint holds over the configuration."""

    def before_instantiate_classes(self) -> None:
        """Refuses what would fail, or draw with untrained weights, only after minutes of loading and rendering."""
        verb = str(self.subcommand)
        config = self.config[verb]
        check_weights(verb, config.ckpt_path, config.model.get("init_args", {}))
        config.trainer.precision = quick_precision(config.trainer.precision, config.trainer.accelerator)
        only_data = Namespace({verb: Namespace(data=config.data), "subcommand": verb})
        self.parser.instantiate_classes(only_data)[verb].data.require(verb)


def check_weights(verb: str, checkpoint: str | None, task: Mapping[str, Any]) -> None:
    """What is drawn or measured comes from trained weights: every verb but `fit` needs some.

    Args:
        verb: What is to be run.
        checkpoint: To load, if any.
        task: The task's settings. It may start from weights of its own; a test may measure a base model alone.

    Raises:
        BolidError: if there is none.
    """
    conditions = task.get("conditions")
    alone = verb == "test" and conditions is not None and not any(conditions.values())
    if verb != "fit" and not (checkpoint or task.get("init_from") or alone):
        raise BolidError(
            f"{verb}: which weights? Give `--ckpt_path runs/.../checkpoints/last.ckpt`, a checkpoint that `bolid fit` "
            "wrote, or the task's setting `init_from`"
        )
