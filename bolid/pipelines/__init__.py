"""Inference, diffusers-style."""

from bolid.core.identity import Embedding, Identity
from bolid.pipelines.bolid import BoLIDPipeline

__all__ = ["BoLIDPipeline", "Embedding", "Identity"]
