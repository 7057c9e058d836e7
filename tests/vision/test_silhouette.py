"""Silhouettes by a segmentation network as transformers saves it, with random weights."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

from bolid.core.errors import BolidError
from bolid.vision.silhouette import PersonSegmenter


def save(folder, labels):
    torch.manual_seed(0)
    config = SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 8], patch_sizes=[3, 3], strides=[2, 2],
        num_attention_heads=[1, 1], mlp_ratios=[1, 1], decoder_hidden_size=8, id2label=dict(enumerate(labels)),
        label2id={name: k for k, name in enumerate(labels)},
    )  # fmt: skip
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("segformer"), ["wall", "Person", "tree"])


def test_it_is_the_networks_own_probability_at_the_photos_size(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    found = PersonSegmenter(str(folder)).silhouette(Image.fromarray(pixels))
    assert (found.shape, found.dtype) == ((40, 30), np.uint8)
    processor = SegformerImageProcessor.from_pretrained(folder)
    network = SegformerForSemanticSegmentation.from_pretrained(folder).eval()
    with torch.no_grad():
        outputs = network(**processor(Image.fromarray(pixels), return_tensors="pt"))
    (logits,) = torch.nn.functional.interpolate(outputs.logits, (40, 30), mode="bilinear")
    np.testing.assert_allclose(found, logits.softmax(0)[1].numpy() * 255, atol=1)


def test_a_network_that_knows_nobody_is_refused(tmp_path):
    with pytest.raises(BolidError, match=r"has no class 'person'.*wall, sky"):
        PersonSegmenter(str(save(tmp_path, ["wall", "sky"])))
    with pytest.raises(BolidError, match=r"nowhere: no segmentation network.*give a folder or hub id"):
        PersonSegmenter(str(tmp_path / "nowhere"))
