"""The LightningModules."""

from bolid.tasks.adapter import AdapterTask, Column, Sampling
from bolid.tasks.base import BaseTask
from bolid.tasks.body_vae import BodyVAETask

__all__ = ["AdapterTask", "BaseTask", "BodyVAETask", "Column", "Sampling"]
