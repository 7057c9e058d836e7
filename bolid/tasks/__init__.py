"""The LightningModules."""

from bolid.tasks.adapter import AdapterTask
from bolid.tasks.base import BaseTask
from bolid.tasks.body_vae import BodyVAETask
from bolid.tasks.distilled_body import DistilledBodyTask
from bolid.tasks.drawing import Column, Sampling
from bolid.tasks.supervised_body import SupervisedBodyTask

__all__ = ["AdapterTask", "BaseTask", "BodyVAETask", "Column", "DistilledBodyTask", "Sampling", "SupervisedBodyTask"]
