import gzip
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bolid.core.errors import BolidError
from bolid.vision.clip import ClipModel, fit_picture, save_clip_model
from tests.vision.vision_fakes import TINY_CLIP


@pytest.fixture
def clip(clip_folder):
    return ClipModel(str(clip_folder))


def test_agrees_with_open_clip_on_its_own_transform(clip, clip_folder):
    import open_clip

    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip_folder}")
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 256, (12, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))  # 96 x 64
    tokens = open_clip.get_tokenizer(f"local-dir:{clip_folder}")(["a photo of a woman"])
    with torch.no_grad():
        image = theirs.eval().encode_image(transform(Image.fromarray(picture))[None], normalize=True)
        text = theirs.encode_text(tokens, normalize=True)
        ours = clip.encode_images(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
    torch.testing.assert_close(clip.encode_texts(["a photo of a woman"]), text)
    torch.testing.assert_close(ours, image, atol=0.02, rtol=0)  # Pillow's bicubic filter is another one


def test_gradients_reach_the_picture_and_nothing_else(clip):
    pictures = torch.rand(1, 3, 96, 64, requires_grad=True)
    clip.encode_images(pictures)[0, 0].backward()
    assert pictures.grad.abs().sum() > 0
    owner = nn.ModuleDict({"clip": clip}).train()
    assert not clip.network.training
    assert not owner.state_dict()
    assert not list(owner.parameters())


def test_name_and_classes(clip, clip_folder):
    assert clip.name == "tiny-clip"
    assert clip.num_features == 16
    classes = ["a photo of a man", "a photo of a woman"]
    classifier = ClipModel(str(clip_folder), classes=classes)
    assert classifier.num_classes == 2
    pictures = torch.rand(3, 3, 32, 32)
    cosines = classifier.encode_images(pictures) @ classifier.encode_texts(classes).T
    torch.testing.assert_close(classifier.logits(pictures) / classifier.network.logit_scale.exp(), cosines)


@pytest.mark.parametrize(("mode", "kept"), [("shortest", (0, 0)), ("longest", (1, 1)), ("squash", (1, 1))])
def test_what_a_resize_keeps_of_a_portrait(mode, kept):
    picture = torch.zeros(1, 3, 96, 64)
    picture[..., :8, :], picture[..., -8:, :] = 1, 1  # head and feet
    fitted = fit_picture(picture, 32, mode)
    assert fitted.shape == (1, 3, 32, 32)
    assert (fitted[0, 0, [0, -1], 16].round() == torch.tensor(kept)).all()


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        ("no/such/folder", None, "no/such/folder.*open_clip_config.json"),
        ("EVA02-L-14", None, "needs `pretrained`"),
        ("ViT-B-32", "no_such_tag", "ViT-B-32 no_such_tag could not be loaded"),
    ],
)
def test_missing_weights_say_what_to_do(name, pretrained, message):
    with pytest.raises(BolidError, match=message):
        ClipModel(name, pretrained)


def test_a_folder_without_weights_is_refused(clip_folder, tmp_path):
    (tmp_path / "open_clip_config.json").write_text((clip_folder / "open_clip_config.json").read_text())
    with pytest.raises(BolidError, match="could not be loaded"):
        ClipModel(str(tmp_path))


def test_a_vocabulary_of_its_own_travels_with_the_folder(tmp_path, monkeypatch):
    import open_clip

    merges = tmp_path / "merges.gz"
    merges.write_bytes(gzip.compress(b"#version\na b\nab c</w>"))
    config = {**TINY_CLIP, "text_cfg": {**TINY_CLIP["text_cfg"], "vocab_size": 512 + 2 + 2, "context_length": 12}}
    save_clip_model(open_clip.CLIP(**config), config, tmp_path / "own", bpe=merges)
    monkeypatch.chdir(tmp_path)  # relative paths work too
    clip = ClipModel("own")
    start, end = 514, 515
    assert clip._tokenizer(["abc"])[0, :4].tolist() == [start, 513, end, 0]
    assert clip.encode_texts(["abc", "cab"]).shape == (2, 16)


def test_a_transformers_tokenizer_travels_with_the_folder(tmp_path):
    import open_clip
    from transformers import CLIPTokenizer

    words = ["a</w>", "photo</w>", "<|startoftext|>", "<|endoftext|>"]
    letters = sorted({*"aphoto"} | {f"{c}</w>" for c in "apho"} - {"a</w>"})
    steps = [("p", "h"), ("ph", "o"), ("pho", "t"), ("phot", "o</w>")]
    vocab = {token: i for i, token in enumerate([*letters, "o</w>", "ph", "pho", "phot", *words])}
    vocab = {token: i for i, token in enumerate(vocab)}
    folder = tmp_path / "hf"
    CLIPTokenizer(vocab=vocab, merges=steps, model_max_length=8).save_pretrained(folder)
    text = {**TINY_CLIP["text_cfg"], "vocab_size": len(vocab), "context_length": 8, "hf_tokenizer_name": "local"}
    config = {**TINY_CLIP, "text_cfg": text}
    save_clip_model(open_clip.CLIP(**config), config, folder)
    clip = ClipModel(str(folder))
    end = vocab["<|endoftext|>"]
    expected = [vocab["<|startoftext|>"], vocab["a</w>"], vocab["photo</w>"], *[end] * 5]
    assert clip._tokenizer(["a photo"])[0].tolist() == expected
    assert clip.encode_texts(["a photo"]).shape == (1, 16)


def test_eva_towers_load_by_name_and_file(tmp_path):
    import open_clip
    from safetensors.torch import save_file

    vision = {"image_size": 224, "timm_model_name": "eva02_tiny_patch14_224", "timm_pool": "token", "timm_proj": None}
    config = {"embed_dim": 192, "custom_text": True, "vision_cfg": vision, "text_cfg": TINY_CLIP["text_cfg"]}
    (tmp_path / "Tiny-EVA.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    model = open_clip.create_model("Tiny-EVA").eval()
    save_file(model.state_dict(), tmp_path / "eva.safetensors")
    save_clip_model(model, config, tmp_path / "eva")
    by_name = ClipModel("Tiny-EVA", str(tmp_path / "eva.safetensors"))
    assert (by_name.name, by_name.num_features) == ("tiny-eva", 192)
    pictures = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        expected = model.encode_image((pictures - by_name.mean) / by_name.std)
    torch.testing.assert_close(by_name.features(pictures), expected)
    torch.testing.assert_close(ClipModel(str(tmp_path / "eva")).features(pictures), expected)
