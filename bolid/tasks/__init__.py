"""LightningModules that configurations name by class path."""

from bolid.tasks.adapter import AdapterTask
from bolid.tasks.body_vae import BodyVAETask
from bolid.tasks.diffusion import DiffusionSpec

__all__ = ["AdapterTask", "BodyVAETask", "DiffusionSpec"]
