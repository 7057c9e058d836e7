"""An adapter on random miniatures, for tests of what it learns and of what it draws."""

import torch
from torch.utils.data import DataLoader

from bolid.conditions import BodyCondition, FaceCondition
from bolid.models.backbones import StableDiffusion, StableDiffusionXL
from bolid.tasks.adapter import AdapterTask
from bolid.tasks.drawing import Column, Sampling
from tests import miniature

COLUMNS = [Column("text"), Column("face", ["face"]), Column("both", ["face", "body"]), Column("other", ["body"], True)]


def save_models(root):
    """Folders of two backbones and body encoders by name."""
    models = {"sd": miniature.save_sd(root / "sd", "v_prediction"), "sdxl": miniature.save_sdxl(root / "sdxl")}
    return models | {
        "body": miniature.save_body_vae(root / "body"),
        "body_xl": miniature.save_body_vae(root / "xl", 32),
    }


def task(folders, family="sd", **more):
    torch.manual_seed(0)
    backbone = {"sd": StableDiffusion, "sdxl": StableDiffusionXL}[family](str(folders[family]))
    conditions = {"face": FaceCondition(), "body": BodyCondition(str(folders["body"]), num_tokens=3)}
    return AdapterTask(backbone, conditions, columns=COLUMNS, sampling=Sampling(2, 2.0), **more)


def batches(count):
    return DataLoader([miniature.batch(seed=i) for i in range(count)], batch_size=None)
