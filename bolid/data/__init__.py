"""Photos to batches."""

from bolid.data.caption_dropout import CaptionDropout
from bolid.data.datamodule import IdentityDataModule
from bolid.data.rendered import RenderedPeople

__all__ = ["CaptionDropout", "IdentityDataModule", "RenderedPeople"]
