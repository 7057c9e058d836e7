"""Watermark networks: the small one from a folder, the public one under its published names."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.vision.watermark import (
    DEVIATION,
    MEAN,
    WatermarkNetwork,
    described,
    load_watermark,
    photo_logits,
    prepared,
)


def test_the_small_network_scores_one_half_at_its_threshold(tmp_path):
    torch.manual_seed(0)
    network = WatermarkNetwork().eval()
    rgb = np.random.default_rng(0).integers(0, 256, (700, 600, 3), dtype=np.uint8)
    weights = {k: v.clone() for k, v in network.state_dict().items() if "num_batches" not in k}
    with torch.inference_mode():
        logit = photo_logits(network(prepared(rgb)))[0]
    save_file(weights | {"threshold": logit.clone()}, tmp_path / "model.safetensors")
    assert load_watermark(str(tmp_path)).score(rgb) == pytest.approx(0.5, abs=1e-3)
    assert prepared(rgb).shape == (1, 3, 704, 608)
    assert prepared(rgb[:300, :400]).shape == (1, 3, 512, 688)  # small photos are enlarged
    assert prepared(rgb[:20, :700]).shape == (1, 3, 64, 2048)  # but no strip beyond bounds


def test_another_network_or_none_is_refused(tmp_path):
    save_file({"x": torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(BolidError, match="holds no watermark network"):
        load_watermark(str(tmp_path))
    with pytest.raises(BolidError, match="no watermark network here"):
        load_watermark(str(tmp_path / "gone"))


def test_a_network_is_described_with_its_accuracy(tmp_path):
    save_file({"x": torch.ones(2)}, tmp_path / "model.safetensors", {"accuracy": "0.9712"})
    assert described(str(tmp_path)) == "BoLID's own small network, 0.97 right on held-out images"
    assert described(str(tmp_path / "model.safetensors")) == "model.safetensors"
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BolidError, match="holds no watermark network"):
        described(str(tmp_path))


def test_a_pickle_of_anything_but_tensors_is_not_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(BolidError, match="no file of tensors"):
        load_watermark(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def published():
    """Random weights under the names of ConvNeXt's authors, with the detector's head."""
    torch.manual_seed(1)
    sizes, depths, found = (96, 192, 384, 768), (3, 3, 9, 3), {}

    def add(name, *shape):
        found[f"{name}.weight"] = torch.randn(shape) / max(1, np.prod(shape[1:])) ** 0.5
        found[f"{name}.bias"] = torch.randn(shape[0]) / 10

    for stage, (size, depth) in enumerate(zip(sizes, depths, strict=True)):
        if stage:
            add(f"downsample_layers.{stage}.0", sizes[stage - 1])
        add(
            f"downsample_layers.{stage}.{int(stage > 0)}", size, *((3, 4, 4) if not stage else (sizes[stage - 1], 2, 2))
        )
        if not stage:
            add("downsample_layers.0.1", size)
        for block in range(depth):
            name = f"stages.{stage}.{block}"
            found[f"{name}.gamma"] = torch.rand(size)
            add(f"{name}.dwconv", size, 1, 7, 7)
            add(f"{name}.norm", size)
            add(f"{name}.pwconv1", 4 * size, size)
            add(f"{name}.pwconv2", size, 4 * size)
    add("norm", 768)
    for number, shape in {0: (512, 768), 2: (256, 512), 4: (2, 256)}.items():
        add(f"head.{number}", *shape)
    return found


def reference(weights, x):
    """ConvNeXt-T after its paper, written anew."""

    def pair(name):
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def norm(x, name):
        return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], *pair(name), 1e-6).permute(0, 3, 1, 2)

    for stage, depth in enumerate((3, 3, 9, 3)):
        down = f"downsample_layers.{stage}"
        x = (
            F.conv2d(norm(x, f"{down}.0"), *pair(f"{down}.1"), 2)
            if stage
            else norm(F.conv2d(x, *pair(f"{down}.0"), 4), f"{down}.1")
        )
        for name in (f"stages.{stage}.{block}" for block in range(depth)):
            y = F.conv2d(x, *pair(f"{name}.dwconv"), padding=3, groups=x.shape[1])
            y = norm(y, f"{name}.norm").permute(0, 2, 3, 1)
            y = F.linear(F.gelu(F.linear(y, *pair(f"{name}.pwconv1"))), *pair(f"{name}.pwconv2"))
            x = x + (weights[f"{name}.gamma"] * y).permute(0, 3, 1, 2)
    x = F.layer_norm(x.mean((2, 3)), (768,), *pair("norm"), 1e-6)
    x = F.gelu(F.linear(F.gelu(F.linear(x, *pair("head.0"))), *pair("head.2")))
    return F.linear(x, *pair("head.4"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_the_public_network_is_convnext_under_its_published_names(tmp_path, suffix):
    weights, path = published(), tmp_path / f"convnext.{suffix}"
    save_file(weights, path) if suffix == "safetensors" else torch.save(weights, path)
    rgb = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    expected = reference(weights, x).softmax(1)[0, 1].item()
    assert load_watermark(str(path)).score(rgb) == pytest.approx(expected, abs=1e-4)
