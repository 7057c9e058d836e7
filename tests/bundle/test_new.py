"""Vocabularies made of captions, for both of the bundle's text encoders, and the untrained Stable Diffusion."""

import re
from dataclasses import replace

import open_clip
import pytest
import torch
from transformers import CLIPTokenizer

from bolid.bundle.clip import write_bpe
from bolid.bundle.new import grade_text_encoder, new_stable_diffusion, train_tokenizer
from bolid.bundle.prompt_words import ASIDES, NEGATIVE, RARE, TRIGGER
from bolid.core.errors import BolidError
from bolid.core.schema import Phrase
from bolid.data.manifest import split_of, write_manifest
from bolid.models.backbones import StableDiffusion
from tests import miniature
from tests.data.fabricate import fabricate

CAPTIONS = [
    "a photo of a woman, heavy build, wearing a dark-blue coat and grey trousers, left arm raised, seen from the side",
    "a photo of a man, slender, narrow waist, broad shoulders, short hair, standing, a plain wall behind",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS * 3)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    tokenizer.save_pretrained(root := tmp_path_factory.mktemp("tokenizer"))
    return root


@pytest.fixture(scope="module")
def theirs(folder, tmp_path_factory):
    """open_clip's tokenizer with the same merges, and the vocabulary's size."""
    file = tmp_path_factory.mktemp("bpe") / "bpe.txt.gz"
    size = write_bpe(folder, file)
    return open_clip.SimpleTokenizer(bpe_path=str(file)), size, file


def tokens_of(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)[1:-1]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_every_word_of_a_caption_is_one_token(tokenizer, caption):
    words = [f"{w}</w>" for w in re.findall(r"\w+|[^\w\s]", caption)]
    assert tokens_of(tokenizer, caption) == words


def test_a_sentence_starts_and_ends_with_its_marks_and_is_padded_with_the_last(tokenizer):
    ids = tokenizer("a woman", padding="max_length").input_ids
    assert len(ids) == tokenizer.model_max_length == 77
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert (ids[0], ids[3:]) == (start, [end] * 74)
    assert tokenizer.pad_token_id == end
    assert len({start, end}) == 2


def test_the_empty_prompt_and_a_long_one_fit(tokenizer):
    assert tokenizer("").input_ids == [tokenizer.bos_token_id, tokenizer.eos_token_id]
    long = tokenizer("woman " * 200, truncation=True, max_length=77).input_ids
    assert len(long) == 77
    assert long[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("text", ["zebra", "womanhood", "Ωmega", "ein Mädchen", "2024", "👩"])
def test_words_it_never_saw_survive_as_pieces(tokenizer, text):
    pieces = tokens_of(tokenizer, text)
    assert tokenizer.eos_token not in pieces
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True).strip().replace(" ", "") == (
        text.lower().replace(" ", "")
    )


def test_case_does_not_matter(tokenizer):
    assert tokenizer("A Photo of a WOMAN").input_ids == tokenizer("a photo of a woman").input_ids


def test_it_is_the_same_when_saved_loaded_and_trained_again(tokenizer, folder):
    again = CLIPTokenizer.from_pretrained(str(folder))
    assert again.get_vocab() == tokenizer.get_vocab() == train_tokenizer(CAPTIONS * 3).get_vocab()
    for caption in (*CAPTIONS, "", "zebra crossing"):
        assert again(caption).input_ids == tokenizer(caption).input_ids


def test_a_small_vocabulary_keeps_the_frequent_words_whole():
    small = train_tokenizer(["often"] * 50 + ["rarely"], vocabulary=514 + 4, reserved="")
    assert tokens_of(small, "often") == ["often</w>"]
    assert len(tokens_of(small, "rarely")) > 1
    assert len(small) == 514 + 4


@pytest.mark.parametrize("caption", [*CAPTIONS, "a zebra, womanhood", ""])
def test_open_clip_cuts_captions_into_the_same_tokens(tokenizer, theirs, caption):
    simple, size, _ = theirs
    assert [simple.decoder[i] for i in simple.encode(caption)] == tokens_of(tokenizer, caption)
    row = simple([caption])[0]
    assert row[0] == simple.sot_token_id
    assert row.argmax() == len(simple.encode(caption)) + 1  # CLIP reads its text at the highest number: the end
    assert size == simple.vocab_size == row.max() + 1


def test_the_merges_file_is_the_same_every_time(folder, theirs, tmp_path):
    write_bpe(folder, tmp_path / "again.gz")
    assert (tmp_path / "again.gz").read_bytes() == theirs[2].read_bytes()
    with pytest.raises(BolidError, match="tokenizer"):
        write_bpe(tmp_path / "nowhere", tmp_path / "x.gz")


def test_a_new_stable_diffusion_knows_the_captions_words_and_predicts(tmp_path):
    records = fabricate(tmp_path / "photos", {"train": 2, "val": 1, "test": 1})
    unheard = [
        replace(r, phrases=[Phrase("pose", "narrow zebra")] * 50) for r in records if split_of(r.file_name) != "train"
    ]
    write_manifest(tmp_path / "photos", [*(r for r in records if split_of(r.file_name) == "train"), *unheard])
    miniature.save_sd(tmp_path / "other")
    arguments = {"channels": (16, 16), "heads": (2, 4), "width": 16, "phrase_steps": 1, "grade_steps": 1}
    new_stable_diffusion(tmp_path / "new", tmp_path / "other/vae", tmp_path / "photos", **arguments)
    backbone = StableDiffusion(str(tmp_path / "new"))
    assert tokens_of(backbone.tokenizer, "narrow waist") == ["narrow</w>", "waist</w>"]
    assert len(tokens_of(backbone.tokenizer, "zebra")) > 1  # whoever is not trained on does not make the vocabulary
    assert backbone.noise_scheduler.config.prediction_type == "v_prediction"
    assert backbone.noise_scheduler.alphas_cumprod[-1] < 1e-6  # zero terminal SNR
    noisy, text = torch.randn(2, 4, 24, 16), backbone.encode_prompt(["narrow waist", ""])
    assert text.hidden.shape == (2, 77, 16)
    assert backbone.predict(noisy, torch.tensor([1, 999]), text, [], torch.zeros(2, 6)).shape == noisy.shape
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "other", "photos"]
    with pytest.raises(BolidError, match="2 levels of channels, but 3 of heads"):
        new_stable_diffusion(tmp_path / "x", tmp_path / "other/vae", tmp_path / "photos", (16, 16), (4, 4, 4))
    with pytest.raises(BolidError, match="already holds a model"):
        new_stable_diffusion(tmp_path / "new", tmp_path / "other/vae", tmp_path / "photos", **arguments)


def test_grading_bodies_changes_the_text_encoder_alone(tmp_path):
    fabricate(tmp_path / "photos", {"train": 2})
    miniature.save_sd(tmp_path / "sd")
    grade_text_encoder(tmp_path / "graded", tmp_path / "sd", tmp_path / "photos", steps=2)
    before, after = (StableDiffusion(str(tmp_path / name)) for name in ("sd", "graded"))
    for part, same in (("vae", True), ("unet", True), ("text_encoder", False)):
        states = [getattr(backbone, part).state_dict() for backbone in (before, after)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0]) == same
    with pytest.raises(BolidError, match="already holds a model"):
        grade_text_encoder(tmp_path / "graded", tmp_path / "sd", tmp_path / "photos")
    with pytest.raises(BolidError, match="nowhere"):
        grade_text_encoder(tmp_path / "more", tmp_path / "nowhere", tmp_path / "photos")


def test_the_same_seed_makes_the_same_weights(tmp_path):
    fabricate(tmp_path / "photos", {"train": 1})
    miniature.save_sd(tmp_path / "other")
    weights, made_of = [], (tmp_path / "other/vae", tmp_path / "photos", (16,), (4,), 16)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        new_stable_diffusion(tmp_path / name, *made_of, phrase_steps=1, grade_steps=1, seed=seed)
        weights.append((tmp_path / name / "unet/diffusion_pytorch_model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_words_of_other_methods_prompts_are_tokens_and_too_small_a_vocabulary_is_refused(tokenizer):
    for prompt in (f"a photo of {RARE} man {TRIGGER}", *ASIDES, NEGATIVE):
        words = [f"{w}</w>" for w in re.findall(r"\w+|[^\w\s]", prompt)]
        assert tokens_of(tokenizer, prompt)[-len(words) :] == words
    with pytest.raises(BolidError, match="too small"):
        train_tokenizer(CAPTIONS, vocabulary=600)
