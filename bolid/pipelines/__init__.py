"""Inference, in the manner of diffusers."""

from bolid.core.identity import Embedding, Identity
from bolid.pipelines.bolid import BoLIDPipeline

__all__ = ["BoLIDPipeline", "Embedding", "Identity"]
