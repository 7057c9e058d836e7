"""The LightningModules."""

from bolid.tasks.adapter import AdapterTask
from bolid.tasks.base import BaseTask
from bolid.tasks.body_vae import BodyVAETask
from bolid.tasks.drawing import Column, Sampling

__all__ = ["AdapterTask", "BaseTask", "BodyVAETask", "Column", "Sampling"]
