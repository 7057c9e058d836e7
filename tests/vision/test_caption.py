"""Caption models of transformers: any architecture that describes images, one by one or many at once."""

import numpy as np
import pytest
from PIL import Image
from transformers import BertConfig, BertModel, ViTConfig, ViTForImageClassification

from bolid.core.errors import BolidError
from bolid.vision.caption import Captioner
from tests.vision.caption_models import PICTURE, SMALL, WORDS, save_blip, save_llava, save_vit_gpt2, tokenizer


def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (40 + 10 * k, 50, 3), dtype=np.uint8)) for k in range(4)]


@pytest.mark.parametrize("save", [save_blip, save_vit_gpt2, save_llava])
def test_every_architecture_says_of_many_pictures_what_it_says_of_each(tmp_path, save):
    captioner = Captioner(str(save(tmp_path / "model")), max_tokens=6)
    together = captioner.describe(pictures())
    assert together == [captioner.describe([picture])[0] for picture in pictures()]
    assert all(set(text.split()) <= set(WORDS[5:]) for text in together)
    assert any(together)
    assert Captioner(str(tmp_path / "model"), max_tokens=6).fingerprint == captioner.fingerprint
    assert Captioner(str(tmp_path / "model"), max_tokens=7).fingerprint != captioner.fingerprint


def test_answers_depend_on_the_picture(tmp_path):
    assert len(set(Captioner(str(save_vit_gpt2(tmp_path / "model"))).describe(pictures()))) > 1


def text_model(folder):
    BertModel(BertConfig(**SMALL, vocab_size=len(WORDS))).save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def image_model(folder):
    ViTForImageClassification(ViTConfig(**SMALL, **PICTURE)).save_pretrained(folder)


def truncated(folder):
    save_blip(folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])


def without_processor(folder):
    save_blip(folder)
    for path in folder.iterdir():
        if path.name not in ("config.json", "generation_config.json", "model.safetensors"):
            path.unlink()


def pickled(folder):
    save_blip(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize("make", [text_model, image_model, truncated, without_processor, pickled, lambda f: f.mkdir()])
def test_what_does_not_describe_images_is_refused_in_one_line(tmp_path, make):
    make(tmp_path / "model")
    with pytest.raises(BolidError) as told:
        Captioner(str(tmp_path / "model"))
    assert "Salesforce/blip-image-captioning-base" in str(told.value)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 700


@pytest.mark.parametrize("path", ["/no/such/folder", "./model", "no/such/folder"])
def test_a_missing_folder_is_no_hub_id(path):
    with pytest.raises(BolidError, match=f"^{path}: no such folder; give one"):
        Captioner(path)


def test_a_hub_that_cannot_be_reached_is_one_line():
    with pytest.raises(BolidError, match=r"^nobody/no-such-model: no caption network .*give another") as told:
        Captioner("nobody/no-such-model")
    assert "\n" not in str(told.value)
