"""Hides warnings that libraries emit on every run and that a user cannot act upon."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

WARNINGS = (
    "LightningCLI's args parameter is intended",  # we dispatch the commands ourselves, so we give it both
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own use of torch
    r"Found \d+ module\(s\) in eval mode",  # frozen networks are, on purpose
    r".*there is no last checkpoint available",  # `--ckpt_path last` at a run's first start
    "Precision .* is not supported by the model summary",
)
ADVERTISER, ADVERTISEMENT = "lightning.pytorch.utilities.rank_zero", "💡 Tip:"


@contextmanager
def quiet() -> Iterator[None]:
    """Context that hides these warnings and advertisements, and nothing else."""
    logger = logging.getLogger(ADVERTISER)
    logger.addFilter(is_news)
    try:
        with warnings.catch_warnings():
            for message in WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        logger.removeFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a log message is no advertisement."""
    return not record.getMessage().startswith(ADVERTISEMENT)
