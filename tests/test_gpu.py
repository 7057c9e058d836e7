"""What only a CUDA device shows: `pytest -m gpu tests/test_gpu.py` on a machine that has one."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from bolid.conditions import BodyCondition, FaceCondition
from bolid.core.identity import Embedding, Identity
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion, StableDiffusionXL
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.tasks.adapter import AdapterTask
from tests import miniature

DEVICE = "cuda"
pytestmark = pytest.mark.gpu
FAMILIES = {"sd": (miniature.save_sd, StableDiffusion), "sdxl": (miniature.save_sdxl, StableDiffusionXL)}


@pytest.fixture
def models(tmp_path):
    """A backbone of a family, and its two conditions."""

    def new(family, dtype="float32"):
        save, kind = FAMILIES[family]
        body = miniature.save_body_vae(tmp_path / "body", 16)
        return kind(str(save(tmp_path / family)), dtype=dtype), {
            "face": FaceCondition(),
            "body": BodyCondition(str(body), num_tokens=3),
        }

    return new


@pytest.fixture
def deterministic():
    """Leaves torch as it was: Lightning's switch is for the whole process."""
    yield "warn"
    torch.use_deterministic_algorithms(False)


def test_a_fit_in_bfloat16_is_finite_and_repeatable(models, tmp_path, deterministic):
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        task = AdapterTask(*models("sd"))
        before = {n: p.detach().clone() for n, p in task.named_parameters() if p.requires_grad}
        trainer = Trainer(
            accelerator=DEVICE, devices=1, precision="bf16-mixed", max_steps=3, deterministic=deterministic,
            logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(task, DataLoader([miniature.batch(seed=i) for i in range(3)], batch_size=None))
        losses.append(float(trainer.callback_metrics["train/loss"]))
        after = {n: p.detach().cpu() for n, p in task.named_parameters() if n in before}
        assert all(torch.isfinite(p).all() for p in after.values())
        assert any(not torch.equal(before[n], p) for n, p in after.items())
    assert losses[0] == losses[1]  # of the third step, so the first two were the same too


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_two_conditions_generate_in_half_precision(models, family, dtype):
    backbone, conditions = models(family, dtype)
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in conditions.values()])
    backbone.unet.to(backbone.vae.dtype)
    pipe = BoLIDPipeline(backbone.requires_grad_(False).eval(), conditions).to(DEVICE)
    face = torch.nn.functional.normalize(torch.ones(512), dim=0)
    someone = Identity({"face": Embedding(face, ""), "body": Embedding(torch.ones(8), conditions["body"].fingerprint)})
    short = {"num_inference_steps": 2, "height": 48, "width": 32, "output_type": "pt"}
    for guidance in (1.0, 2.0):
        drawn = pipe(miniature.CAPTIONS, [someone, None], guidance_scale=guidance, **short).images
        assert drawn.device.type == DEVICE
        assert drawn.shape == (2, 3, *miniature.SIZE)
        assert torch.isfinite(drawn).all()
        assert torch.equal(drawn, pipe(miniature.CAPTIONS, [someone, None], guidance_scale=guidance, **short).images)
