"""Data sets: from photos to batches. Names are imported lazily: a rendering process needs no training library."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bolid.data.caption_dropout import CaptionDropout
    from bolid.data.datamodule import IdentityDataModule

__all__ = ["CaptionDropout", "IdentityDataModule"]
_HOMES = {"CaptionDropout": "caption_dropout", "IdentityDataModule": "datamodule"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"bolid.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'bolid.data' has no attribute {name!r}")
