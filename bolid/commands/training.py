"""The training verbs as Lightning's command line, with checks before anything is loaded or rendered."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from bolid.commands.named import MergesByName
from bolid.commands.parser import OneLineErrors, trust_nothing
from bolid.core.errors import BolidError
from bolid.core.names import check_known
from bolid.core.paths import resolve
from bolid.data.datamodule import IdentityDataModule
from bolid.methods import Adapter
from bolid.tasks.base import BaseTask, check_total_steps
from bolid.tasks.checkpoints import find_checkpoint, read_checkpoint
from bolid.tasks.lock import refuse_used
from bolid.tasks.precision import check_precision, is_cpu


class Parser(MergesByName, OneLineErrors, LightningArgumentParser):
    """Lightning's parser with errors of one line and settings that are keyed by name."""


class Command(LightningCLI):
    """`bolid fit|validate|test|predict`: task and data are chosen by `class_path` in the configuration.

    Args:
        argv: The verb and its options.
    """

    def __init__(self, argv: list[str]):
        trust_nothing()
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
        """Checks arguments that the parser does not, and the checkpoint, before anything is loaded."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        check_arguments(config, "")
        if config.ckpt_path in ("best", "last", "hpc"):  # Lightning finds those of a fit; elsewhere, nothing in silence
            if self.config.subcommand != "fit":
                raise BolidError(
                    f"ckpt_path: {config.ckpt_path} is for fits; give the file, runs/.../checkpoints/last.ckpt"
                )
        elif config.ckpt_path is not None:
            config.ckpt_path = str(find_checkpoint(Path(config.ckpt_path), "ckpt_path"))

    def _parse_ckpt_path(self) -> None:
        """Lightning would lay the settings that a checkpoint holds over the configuration."""

    def before_instantiate_classes(self) -> None:
        """Refuses what would fail, or draw with untrained weights, only after minutes of loading and rendering."""
        verb = str(self.subcommand)
        config = self.config[verb]
        task = config.model.get("init_args", {})
        frozen = (task.get("backbone") or {}).get("init_args", {}).get("dtype", "float32")
        check_precision(config.trainer.precision, is_cpu(config.trainer.accelerator), frozen, verb == "fit")
        check_weights(verb, config.ckpt_path, task)
        check_schedule(verb, config.trainer, task)
        check_methods(task)
        only_data = Namespace({verb: Namespace(data=config.data), "subcommand": verb})
        self.parser.instantiate_classes(only_data)[verb].data.require(verb, least_people(verb, task))

    def before_fit(self) -> None:
        """Before a run's configuration takes the place of an earlier one's."""
        trainer: Any = self.trainer
        if not (self.config["fit"].ckpt_path or trainer.fast_dev_run):
            refuse_used(trainer)


def least_people(verb: str, task: Mapping[str, Any]) -> int:
    """How many people a verb must show, for all methods that it asks for images."""
    methods = (task.get("evaluation") or {}).get("methods") or {}
    kinds = [kind_of(method) for method in methods.values() if method and verb in ("test", "predict")]
    return max((kind.least_people for kind in kinds), default=1)


def kind_of(method: Mapping[str, Any]) -> Any:
    """The class of a method that the parser has accepted."""
    return locate(method["class_path"])


def check_arguments(config: Any, key: str) -> None:
    """Classes take what stands under `dict_kwargs`, which jsonargparse passes on unchecked.

    Raises:
        BolidError: If one does not.
    """
    if not isinstance(config, Mapping | Namespace):
        return
    entries = dict(vars(config) if isinstance(config, Namespace) else config)
    given = entries.get("dict_kwargs")
    if given and not takes_anything(locate(str(entries["class_path"]))):
        raise BolidError(f"{key}: {entries['class_path']} takes no setting {next(iter(given))!r}")
    for name, entry in entries.items():
        check_arguments(entry, f"{key}.{name}" if key else str(name))


def takes_anything(kind: Any) -> bool:
    """Whether a class's arguments of any name reach no constructor that would refuse them."""
    constructors = [vars(base)["__init__"] for base in inspect.getmro(kind)[:-1] if "__init__" in vars(base)]
    kinds = [[p.kind for p in inspect.signature(made).parameters.values()] for made in constructors]
    return bool(kinds) and all(inspect.Parameter.VAR_KEYWORD in each for each in kinds)


def check_methods(task: Mapping[str, Any]) -> None:
    """Methods name conditions that the task has; `Method.prepare` says the same once all networks are loaded.

    Raises:
        BolidError: If one names another.
    """
    for name, method in ((task.get("evaluation") or {}).get("methods") or {}).items():
        while method:  # a control is a method of another
            settings = method.get("init_args") or {}
            if issubclass(kind_of(method), Adapter):
                there = [key for key, condition in (task.get("conditions") or {}).items() if condition]
                check_known(settings["conditions"], there, f"evaluation.methods.{name}", "condition")
            method = settings.get("of")


def check_weights(verb: str, checkpoint: str | None, task: Mapping[str, Any]) -> None:
    """What is drawn or measured comes from trained weights: every verb but `fit` needs some.

    Args:
        verb: What is to be run.
        checkpoint: To load, if any.
        task: The task's settings. It may start from weights of its own; a test may measure a base model alone.

    Raises:
        BolidError: if there is none.
    """
    start, conditions = task.get("init_from"), task.get("conditions")
    alone = verb == "test" and conditions is not None and not any(conditions.values())
    if start and not checkpoint and not resolve(start).is_dir():
        read_checkpoint(resolve(start), "init_from")
    if verb != "fit" and not (checkpoint or start or alone):
        raise BolidError(
            f"{verb}: which weights? Give `--ckpt_path runs/.../checkpoints/last.ckpt`, a checkpoint that `bolid fit` "
            "wrote, or the task's setting `init_from`"
        )


def check_schedule(verb: str, trainer: Mapping[str, Any], task: Mapping[str, Any]) -> None:
    """A schedule that says how long it is must be as long as the fit.

    Raises:
        BolidError: if it is not.
    """
    settings = (task.get("scheduler") or {}).get("init_args") or {}
    if verb == "fit" and trainer.get("max_steps", -1) > 0 and not trainer.get("fast_dev_run"):
        check_total_steps(settings, trainer["max_steps"])
