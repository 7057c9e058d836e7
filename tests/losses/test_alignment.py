"""Alignment against the paper's formula, layer by layer."""

import math

import pytest
import torch

from bolid.conditions import FaceCondition
from bolid.losses.alignment import AlignmentLoss, Attended, answers, attended
from bolid.models.attention import install_conditions, set_scales
from bolid.models.backbones import StableDiffusion
from tests import miniature


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    found = StableDiffusion(str(miniature.save_sd(tmp_path_factory.mktemp("sd"))))
    install_conditions(found.unet, [FaceCondition().projector(found.text_dim)])
    return found


def watched(backbone, face):
    text = backbone.encode_prompt(miniature.CAPTIONS[:2])
    noisy = torch.randn(2, 4, 24, 16, generator=torch.Generator().manual_seed(0))
    with attended(backbone.unet) as found:
        backbone.predict(noisy, torch.tensor([500, 100]), text, [face], torch.zeros(2, 6))
    return found


def test_every_cross_attention_layer_is_watched_and_then_left_alone(backbone):
    found = watched(backbone, torch.zeros(2, 1, 512))
    layers = [name for name in backbone.unet.attn_processors if "attn2" in name]
    assert sorted(found) == sorted(name.removesuffix(".processor") for name in layers)
    assert all(layer.queries.shape[:2] == layer.keys.shape[:2] for layer in found.values())
    assert not any(module._forward_hooks for module in backbone.unet.modules())


def test_answers_are_the_papers(backbone):
    layer = next(iter(watched(backbone, torch.ones(2, 1, 512)).values()))
    queries, keys = layer
    scores = (keys @ queries.mT / math.sqrt(queries.shape[-1])).softmax(-1)
    torch.testing.assert_close(answers(layer), scores @ queries, atol=1e-5, rtol=1e-4)


def test_the_loss_is_the_weighted_sum_and_zero_for_nobody(backbone):
    plain, nobody, somebody = (watched(backbone, k * torch.ones(2, 1, 512)) for k in (0, 0, 3))
    assert AlignmentLoss()(nobody, plain) == 0
    terms = []
    for name in plain:
        told, without = somebody[name], plain[name]
        terms.append(
            0.6 * (answers(told) - answers(without)).square().mean()
            + 0.1 * (told.queries - without.queries).square().mean()
        )
    torch.testing.assert_close(AlignmentLoss()(somebody, plain), sum(terms) / len(terms))
    set_scales(backbone.unet, [0.0])
    assert AlignmentLoss()(watched(backbone, 3 * torch.ones(2, 1, 512)), plain) == 0
    set_scales(backbone.unet, [1.0])


def test_gradients_reach_the_branches_and_nothing_else(backbone):
    backbone.zero_grad()
    with torch.no_grad():
        plain = watched(backbone, torch.zeros(2, 1, 512))
    AlignmentLoss()(watched(backbone, torch.ones(2, 1, 512)), plain).backward()
    reached = {name for name, p in backbone.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert reached  # all but the last layer's, which no query follows
    assert all("_ip." in name or "encoder_hid_proj" in name for name in reached)


def test_identical_layers_align():
    layer = Attended(torch.randn(1, 2, 6, 4), torch.randn(1, 2, 3, 4))
    assert AlignmentLoss()({"x": layer}, {"x": layer}) == 0


def test_half_precision_around_it_changes_no_answer(backbone):
    layer = next(iter(watched(backbone, torch.ones(2, 1, 512)).values()))
    with torch.autocast("cpu", torch.bfloat16):
        inside = answers(layer)
    torch.testing.assert_close(inside, answers(layer))
