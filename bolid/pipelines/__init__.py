"""Inference, diffusers-style."""

from bolid.core.identity import Identity
from bolid.pipelines.bolid import BoLIDPipeline

__all__ = ["BoLIDPipeline", "Identity"]
