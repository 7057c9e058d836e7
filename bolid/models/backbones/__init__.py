"""Frozen text-to-image models with a common interface."""

from bolid.models.backbones.base import Backbone, Dtype, TextCondition
from bolid.models.backbones.sd import StableDiffusion
from bolid.models.backbones.sdxl import StableDiffusionXL

__all__ = ["Backbone", "Dtype", "StableDiffusion", "StableDiffusionXL", "TextCondition"]
