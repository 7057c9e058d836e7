"""Every recipe for published models runs as it stands, with miniatures in the place of their weights."""

from pathlib import Path

import pytest
import yaml

from tests import miniature
from tests.data.fabricate import fabricate

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "configs/recipe"
CLIP = {"class_path": "bolid.vision.clip.ClipModel", "init_args": {"name": "data/tiny/clip_score", "pretrained": None}}
POSE = {"class_path": "bolid.vision.pose.PoseEstimator", "init_args": {"weights": "data/tiny/pose"}}
BODY = {"class_path": "bolid.metrics.BodySimilarity", "init_args": {"pose": POSE, "encoder": "data/tiny/body_vae"}}
FACE = {"class_path": "bolid.metrics.FaceSimilarity", "init_args": {"pose": POSE, "face": "data/tiny/face/face.onnx"}}
CLIP_SCORE = {"class_path": "bolid.metrics.ClipScore", "init_args": {"clip": CLIP}}
# What is put in the place of networks that a user brings.
PEOPLE = {
    "conditions": {"body": {"init_args": {"encoder": "data/tiny/body_vae"}}},
    "evaluation": {
        "sampling": {"steps": 1},
        "metrics": {"body_similarity": BODY, "face_similarity": FACE, "clip_score": CLIP_SCORE},
    },
}
IMAGE = {
    "conditions": {"image": {"init_args": {"clip": "data/tiny/clip_loss", "pretrained": None, "size": [96, 64]}}},
    "evaluation": {"metrics": {"clip_score": CLIP_SCORE}},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "save", "networks"),
    [
        ("sd15", miniature.save_sd, PEOPLE),
        ("sdxl", miniature.save_sdxl, PEOPLE),
        ("ip_adapter", miniature.save_sd, IMAGE),
    ],
)
def test_a_recipe_for_real_photos_runs(run, tmp_path, name, save, networks):
    fabricate(tmp_path / "data/photos", {"train": 2, "val": 1, "test": 2})
    here = {
        "trainer": {"accelerator": "cpu", "devices": 1, "precision": "32-true", "fast_dev_run": True},
        "callbacks": {"samples": None},
        "model": {"init_args": networks | {"backbone": {"init_args": {"path": str(save(tmp_path / "base"))}}}},
        "data": {"init_args": {"size": [96, 64], "batch_size": 2, "num_workers": 0}},
    }
    (tmp_path / "here.yaml").write_text(yaml.safe_dump(here))
    status, _, err = run("fit", "--config", RECIPES / f"{name}.yaml", "--config", tmp_path / "here.yaml")
    assert status == 0, err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "networks"),
    [
        ("photos_adapter", PEOPLE | {"conditions": {"face": {"init_args": {"embed_dim": 512}}}}),
        ("photos_body_vae", {"init_from": None, "model": {"init_args": {"text_dim": 16}}}),
    ],
)
def test_a_recipe_for_photos_on_a_laptop_runs(run, tmp_path, name, networks):
    fabricate(tmp_path / "data/photos", {"train": 3, "val": 2, "test": 2}, silhouettes=True)
    here = {
        "trainer": {"precision": "32-true", "fast_dev_run": True},
        "model": {"init_args": networks},
        "data": {"init_args": {"batch_size": 2}},
    }
    (tmp_path / "here.yaml").write_text(yaml.safe_dump(here))
    status, _, err = run("fit", "--config", RECIPES / f"{name}.yaml", "--config", tmp_path / "here.yaml")
    assert status == 0, err


@pytest.mark.parametrize("name", ["sd15", "sdxl", "ip_adapter"])
def test_recipes_train_as_published(name):
    """AdamW at 1e-4 with decay .01, 64 samples a step, 5 % without caption, without a condition, without either."""
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
    task, trainer = recipe["model"]["init_args"], recipe["trainer"]
    assert task["optimizer"] == {
        "class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-4, "weight_decay": 0.01},
    }  # fmt: skip
    assert recipe["data"]["init_args"]["batch_size"] * trainer["accumulate_grad_batches"] == 64
    drops = [condition["init_args"]["dropout"] for condition in task["conditions"].values()]
    assert {*drops, task["diffusion"]["text_dropout"], task["diffusion"]["all_dropout"]} == {0.05}
    assert task["diffusion"]["min_snr_gamma"] is None
    assert trainer["max_steps"] >= 100_000


@pytest.mark.parametrize("name", ["adapter", "body_vae"])
def test_the_short_names_are_the_recipes(name):
    assert (ROOT / f"configs/{name}.yaml").samefile(RECIPES / f"{name}.yaml")
