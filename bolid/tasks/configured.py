"""A task as the configuration beside a checkpoint describes it."""

from __future__ import annotations

from argparse import ArgumentError
from pathlib import Path
from typing import Any

import yaml

from bolid.core.errors import BolidError

CONFIG = "config.yaml"  # what a fit writes into its run


def config_of(checkpoint: Path) -> Path:
    """The configuration of the run that a checkpoint lies in.

    Raises:
        BolidError: If there is none.
    """
    for folder in checkpoint.absolute().parents[:2]:
        if (folder / CONFIG).is_file():
            return folder / CONFIG
    raise BolidError(
        f"{checkpoint} lies in no run with a {CONFIG}, which says what its task is made of: give that file as "
        "`config`, or what the class wants to be made of"
    )


def task_of(config: Path, kind: type) -> Any:
    """The task of a configuration, as `bolid fit` would make it. It imports what the file names: it is code.

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
