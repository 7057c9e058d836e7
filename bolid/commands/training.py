"""The training commands by LightningCLI, with checks before anything is loaded or rendered."""

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
    """Lightning's parser with one-line errors and dictionaries that merge by name."""


class Command(LightningCLI):
    """`bolid fit|validate|test|predict`: task and data are chosen by `class_path` in the configuration.

    Args:
        argv: The command and its options.
    """

    def __init__(self, argv: list[str]):
        trust_nothing()
        super().__init__(
            BaseTask,
            IdentityDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            # A test in the folder of a fit must not overwrite the configuration of the fit.
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
        """Adds `callbacks` keyed by name, besides Lightning's list `trainer.callbacks`."""
        parser.add_argument(
            "--callbacks",
            type=dict[str, Callback | None],
            default={},
            help="Callbacks by name; null removes one of an earlier file.",
        )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that are keyed by name."""
        own = self._get(self.config_init, "trainer")["callbacks"] or []
        named = self._get(self.config_init, "callbacks").values()
        return super().instantiate_trainer(callbacks=[*(own if isinstance(own, list) else [own]), *named], **kwargs)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Checks arguments that the parser does not, and the checkpoint, before anything is loaded."""
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        check_arguments(config, "")
        if config.ckpt_path in ("best", "last", "hpc"):  # Lightning loads nothing outside a fit
            if self.config.subcommand != "fit":
                raise BolidError(
                    f"ckpt_path: {config.ckpt_path} is for fits; give the file, runs/.../checkpoints/last.ckpt"
                )
        elif config.ckpt_path is not None:
            config.ckpt_path = str(find_checkpoint(Path(config.ckpt_path), "ckpt_path"))

    def _parse_ckpt_path(self) -> None:
        """Does nothing: Lightning would override the configuration by the hyperparameters of the checkpoint."""

    def before_instantiate_classes(self) -> None:
        """Checks what would otherwise fail, or run with untrained weights, after minutes of loading and rendering."""
        command = str(self.subcommand)
        config = self.config[command]
        task = config.model.get("init_args", {})
        frozen = (task.get("backbone") or {}).get("init_args", {}).get("dtype", "float32")
        check_precision(config.trainer.precision, is_cpu(config.trainer.accelerator), frozen, command == "fit")
        check_weights(command, config.ckpt_path, task)
        check_schedule(command, config.trainer, task)
        check_methods(task)
        # Data modules are cheap to construct and need no model, so that the manifest is checked first.
        only_data = Namespace({command: Namespace(data=config.data), "subcommand": command})
        self.parser.instantiate_classes(only_data)[command].data.require(command, least_people(command, task))

    def before_fit(self) -> None:
        """Refuses a used folder before the configuration in it is overwritten."""
        trainer: Any = self.trainer
        if not (self.config["fit"].ckpt_path or trainer.fast_dev_run):
            refuse_used(trainer)


def least_people(command: str, task: Mapping[str, Any]) -> int:
    """Minimum number of people that a command's data must hold, over all methods that generate."""
    methods = (task.get("evaluation") or {}).get("methods") or {}
    kinds = [kind_of(method) for method in methods.values() if method and command in ("test", "predict")]
    return max((kind.least_people for kind in kinds), default=1)


def kind_of(method: Mapping[str, Any]) -> Any:
    """The class of a method that the parser has accepted."""
    return locate(method["class_path"])


def check_arguments(config: Any, key: str) -> None:
    """Checks that classes accept their `dict_kwargs`, which jsonargparse passes on unchecked.

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
    """Whether a class passes `**kwargs` to no constructor that would refuse them."""
    constructors = [vars(base)["__init__"] for base in inspect.getmro(kind)[:-1] if "__init__" in vars(base)]
    kinds = [[p.kind for p in inspect.signature(made).parameters.values()] for made in constructors]
    return bool(kinds) and all(inspect.Parameter.VAR_KEYWORD in each for each in kinds)


def check_methods(task: Mapping[str, Any]) -> None:
    """Checks that methods name conditions of the task; `Method.prepare` repeats it once all networks are loaded.

    Raises:
        BolidError: If one names a condition that the task lacks.
    """
    for name, method in ((task.get("evaluation") or {}).get("methods") or {}).items():
        while method:  # a control is a method of another
            settings = method.get("init_args") or {}
            if issubclass(kind_of(method), Adapter):
                there = [key for key, condition in (task.get("conditions") or {}).items() if condition]
                check_known(settings["conditions"], there, f"evaluation.methods.{name}", "condition")
            method = settings.get("of")


def check_weights(command: str, checkpoint: str | None, task: Mapping[str, Any]) -> None:
    """Checks that there are trained weights, which every command but `fit` needs.

    Args:
        command: fit, validate, test or predict.
        checkpoint: Path to load, if any.
        task: The task's settings. `init_from` may give the weights; a test of a base model alone needs none.

    Raises:
        BolidError: If there are none.
    """
    start, conditions = task.get("init_from"), task.get("conditions")
    alone = command == "test" and conditions is not None and not any(conditions.values())
    if start and not checkpoint and not resolve(start).is_dir():
        read_checkpoint(resolve(start), "init_from")
    if command != "fit" and not (checkpoint or start or alone):
        raise BolidError(
            f"{command}: which weights? Give `--ckpt_path runs/.../checkpoints/last.ckpt`, a checkpoint that "
            "`bolid fit` wrote, or the task's setting `init_from`"
        )


def check_schedule(command: str, trainer: Mapping[str, Any], task: Mapping[str, Any]) -> None:
    """Checks that a schedule's `total_steps` equals the length of the fit.

    Raises:
        BolidError: If it does not.
    """
    settings = (task.get("scheduler") or {}).get("init_args") or {}
    if command == "fit" and trainer.get("max_steps", -1) > 0 and not trainer.get("fast_dev_run"):
        check_total_steps(settings, trainer["max_steps"])
