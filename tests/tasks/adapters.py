"""An adapter on random miniatures, for tests of what it learns and of what it generates."""

import torch
from torch.utils.data import DataLoader

from bolid.conditions import BodyCondition, FaceCondition
from bolid.evaluation.protocol import Evaluation
from bolid.methods import Adapter, Sampling, ShuffledIdentity, TextOnly
from bolid.models.backbones import StableDiffusion, StableDiffusionXL
from bolid.tasks.adapter import AdapterTask
from tests import miniature


def save_models(root):
    """Folders of two backbones and body encoders by name."""
    models = {"sd": miniature.save_sd(root / "sd", "v_prediction"), "sdxl": miniature.save_sdxl(root / "sdxl")}
    return models | {
        "body": miniature.save_body_vae(root / "body"),
        "body_xl": miniature.save_body_vae(root / "xl", 32),
    }


def methods():
    """Text, two methods and a control."""
    return {
        "text": TextOnly(),
        "face": Adapter(["face"]),
        "both": Adapter(["face", "body"]),
        "other": ShuffledIdentity(Adapter(["body"])),
    }


def evaluation(chosen=None, metrics=None, **sampling):
    """Of the methods above in two steps, unless others are chosen."""
    sampling = {"steps": 2, "guidance_scale": 2.0} | sampling
    return Evaluation(methods() if chosen is None else chosen, metrics or {}, Sampling(**sampling))


def conditions(folders):
    return {"face": FaceCondition(), "body": BodyCondition(str(folders["body"]), num_tokens=3)}


def task(folders, family="sd", chosen=None, metrics=None, sampling=None, **more):
    torch.manual_seed(0)
    backbone = {"sd": StableDiffusion, "sdxl": StableDiffusionXL}[family](str(folders[family]))
    evaluated = evaluation(chosen, metrics, **(sampling or {}))
    return AdapterTask(backbone, conditions(folders), evaluation=evaluated, **more)


def batches(count):
    return DataLoader([miniature.batch(seed=i) for i in range(count)], batch_size=None)
