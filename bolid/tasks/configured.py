"""Builds a task from the configuration next to a checkpoint."""

from __future__ import annotations

from argparse import ArgumentError
from pathlib import Path
from typing import Any

import yaml

from bolid.core.errors import BolidError

CONFIG = "config.yaml"  # written by a fit into the folder of its run


def config_of(checkpoint: Path) -> Path:
    """The configuration of the run that a checkpoint lies in.

    Raises:
        BolidError: If there is none.
    """
    for folder in checkpoint.absolute().parents[:2]:
        if (folder / CONFIG).is_file():
            return folder / CONFIG
    raise BolidError(
        f"{checkpoint} has no {CONFIG} of its run next to it, which describes the task: give that file as "
        "`config`, or the constructor's arguments"
    )


def task_of(config: Path, kind: type) -> Any:
    """Instantiates the task of a configuration as `bolid fit` does. It imports what the file names: treat it as code.

    Raises:
        BolidError: If the file holds no configuration of such a task.
    """
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(kind, "model", required=True)
    try:
        settings = yaml.safe_load(config.read_text())["model"]
        return parser.instantiate_classes(parser.parse_object({"model": settings})).model
    except (OSError, yaml.YAMLError, ArgumentError, LookupError, TypeError, ValueError) as error:
        raise BolidError(f"{config} is no configuration of {kind.__name__}: {error}") from error
