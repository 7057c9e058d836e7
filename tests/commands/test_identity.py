"""People by name, on the command line: read, listed, mixed, drawn, deleted."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.conditions.image import ImageCondition
from bolid.core.identity import Embedding, Identity
from bolid.core.identity_file import IdentityFolder
from bolid.core.safe_io import sha256
from bolid.data.manifest import read_manifest, write_manifest
from bolid.models.body_vae import load_body_vae
from bolid.models.crop import crop_to_person
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.pipelines.card import read_card
from tests import miniature
from tests.data.fabricate import fabricate
from tests.pipelines.test_bolid_pipeline import new_pipeline

HOME = IdentityFolder(Path("data/identities"))


@pytest.fixture
def people(run, tmp_path):
    """Two people of a folder, stored as ann and ben."""
    records = fabricate(tmp_path / "photos", {"train": 2}, size=(96, 64))
    write_manifest(tmp_path / "photos", [replace(r, face_model="f" * 64) for r in records])
    names = sorted({r.identity for r in records})
    for name, person in zip(("ann", "ben"), names, strict=True):
        status, out, err = run("identity", "create", "--name", name, "--folder", "photos", "--person", person)
        assert (status, err) == (0, "")
        assert out == f"data/identities/{name}.safetensors: body (8 numbers) and face (512 numbers)\n"
    return names


def test_a_person_of_a_manifest_is_the_encoders_mean_and_the_faces(people, bundle, tmp_path):
    records = [r for r in read_manifest(tmp_path / "photos") if r.identity == people[0]]
    pictures = [np.asarray(Image.open(tmp_path / "photos" / r.file_name)) for r in records]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1
    points, boxes = (torch.from_numpy(np.stack([getattr(r, k) for r in records])) for k in ("keypoints", "box"))
    encoder = load_body_vae(str(bundle / "body_vae")).eval()
    crops, points = crop_to_person(pixels, points, boxes, tuple(encoder.config.size))
    with torch.no_grad():
        mean = encoder.encode(crops[None], points[None], torch.ones(1, len(records), dtype=torch.bool)).mean[0]
    ann = HOME.load("ann")
    torch.testing.assert_close(ann["body"].values, mean)
    faces = np.stack([r.face_embedding for r in records if r.face_embedding is not None])
    torch.testing.assert_close(ann["face"].values, torch.from_numpy(faces.mean(0)))
    assert ann["face"].model == "f" * 64
    assert ann["body"].model == sha256(bundle / "body_vae/diffusion_pytorch_model.safetensors")


def test_one_broken_photo_of_a_folder_is_left_out(people, run, tmp_path, caplog):
    broken = next(r.file_name for r in read_manifest(tmp_path / "photos") if r.identity == people[0])
    (tmp_path / "photos" / broken).write_text("no picture")
    words = ["identity", "create", "--folder", "photos", "--person", people[0], "--name"]
    assert run(*words, "carl")[0] == 0
    assert broken in caplog.text
    assert not torch.equal(body_of("carl"), body_of("ann"))


def test_people_are_listed_shown_mixed_and_deleted(people, run):
    mixed = run("identity", "mix", "--name", "cleo", "--first", "ann", "--second", "ben", "--share", 0.25)
    assert mixed[0] == 0
    torch.testing.assert_close(body_of("cleo"), 0.75 * body_of("ann") + 0.25 * body_of("ben"))
    _, out, _ = run("identity", "list")
    assert [line.partition(":")[0] for line in out.splitlines()] == ["ann", "ben", "cleo"]
    _, out, _ = run("identity", "show", "--name", "ann")
    assert f"body: embedded by the network of SHA-256 {HOME.load('ann')['body'].model}" in out
    assert run("identity", "delete", "--name", "ann")[:2] == (0, "deleted data/identities/ann.safetensors\n")
    assert HOME.names() == ["ben", "cleo"]


def test_an_empty_list_says_what_to_do(run):
    assert "bolid identity create --help" in run("identity", "list")[1]


def test_mistakes_are_one_line_and_change_nothing(people, run):
    ann = HOME.load("ann")
    words = ["identity", "create", "--folder", "photos", "--person"]
    for more, told in (
        ([people[1], "--name", "ann"], "ann.safetensors exists"),
        (["zoe", "--name", "zoe"], f"the manifest knows no 'zoe'; it knows {people[0]}"),
        ([people[0], "--name", "x", "--photos", "a.png"], "either `--photos"),
    ):
        status, _, err = run(*words, *more)
        assert status == 1
        assert told in err
        assert err.count("\n") == 1
    assert HOME.names() == ["ann", "ben"]
    assert torch.equal(body_of("ann"), ann["body"].values)
    assert run(*words, people[1], "--name", "ann", "--replace", "true")[0] == 0
    assert torch.equal(body_of("ann"), body_of("ben"))


@pytest.fixture
def adapter(tmp_path):
    new_pipeline(tmp_path, "sd").save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


SHORT = ["--steps", 2, "--size", 48, 32]


def person(adapter, **values):
    """An identity as the adapter's own networks would have made it."""
    conditions = read_card(adapter)[1].conditions
    return Identity({name: Embedding(v, conditions[name].arguments["fingerprint"]) for name, v in values.items()})


def body_of(name):
    return HOME.load(name)["body"].values


def test_a_stored_person_is_drawn_as_the_pipeline_draws_them(run, adapter):
    face = torch.nn.functional.normalize(torch.ones(512), dim=0)
    ann = person(adapter, face=face, body=3 * torch.ones(8))
    HOME.save("ann", ann)
    words = ["generate", "a photo of a person", "--adapter", adapter, "--identity", "ann", "--seed", 5, *SHORT]
    status, out, _ = run(*words, "--count", 2, "--body_scale", 0.5)
    assert status == 0
    assert out == "2 images of ann in pictures\n"
    assert sorted(p.name for p in Path("pictures").iterdir()) == ["5.png", "6.png"]
    pipe = BoLIDPipeline.from_pretrained(adapter)
    drawn = pipe("a photo of a person", ann, None, 48, 32, 2, seed=6, scale={"body": 0.5}).images[0]
    np.testing.assert_array_equal(np.asarray(Image.open("pictures/6.png")), np.asarray(drawn))
    assert run("generate", "a photo of a person", "--adapter", adapter, *SHORT, "--out", "nobody")[0] == 0
    assert len(list(Path("nobody").iterdir())) == 4


def test_images_are_never_overwritten(run, adapter):
    words = ["generate", "a photo", "--adapter", adapter, "--count", 1, *SHORT]
    for number in range(3):
        assert run(*words, "--guidance", 1 + number)[0] == 0
    images = {p.name: p.read_bytes() for p in Path("pictures").iterdir()}
    assert images.keys() == {"0.png", "0-2.png", "0-3.png"}
    assert len(set(images.values())) == 3


MISTAKES = [
    (["--size", 100, 70], "height=100 must be a multiple of 8, such as 96 or 104"),
    (["--size", 96, 0], "width=0 must be a multiple of 8"),
    (["--steps", 0], "steps=0 must be 1 to 1000"),
    (["--steps", 1001], "steps=1001 must be 1 to 1000"),
    (["--guidance", 1, "--negative_prompt", "blue"], "a negative prompt has no effect with guidance=1.0: raise it"),
    (["--guidance", ".nan"], "guidance=nan must be a number of 0 or more"),
    (["--body_scale", ".nan"], "scale=nan must be a finite number"),
    (["--count", 0], "count=0 must be 1 or more"),
    (["--seed", -1], "seed=-1 must be 0 or more"),
    (["--negative_prompt", "\udcff"], "negative_prompt: '\\udcff' is no readable text"),
    (["--device", "cuda:9"], "device='cuda:9' cannot be used"),
    (["--device", "tpu"], "device='tpu' cannot be used"),
    (["--device", "meta"], "device='meta' cannot be used (it holds no numbers); here are cpu"),
    (["--offload", "true"], "offload moves networks to a GPU while they run: give its --device"),
    (["--out", "file"], "out: "),
    (["--out", "file/below"], "file is a file; give a folder"),
    (["--dtype", "int8"], "dtype"),
]


@pytest.mark.parametrize(("wrong", "told"), MISTAKES, ids=lambda value: str(value)[:40])
def test_what_cannot_be_generated_is_one_line_before_anything_is_loaded(run, monkeypatch, wrong, told):
    Path("file").touch()
    monkeypatch.setattr(BoLIDPipeline, "from_pretrained", None)
    status, _, err = run("generate", "a photo", *wrong)
    assert (status, err.count("\n")) == (1, 1)
    assert told in err


def test_a_prompt_that_is_no_text_is_one_line(run):
    assert "prompt: 'a \\ud800' is no readable text" in run("generate", "a \ud800")[2]


def test_base_model_encoder_and_precision_can_be_given(run, adapter, tmp_path):
    other = miniature.save_sd(tmp_path / "other", seed=9)
    (adapter / "body_encoder").rename(tmp_path / "encoder")
    words = ["generate", "a photo", "--adapter", adapter, "--count", 1, *SHORT]
    assert "body_encoder is missing" in run(*words)[2]
    words += ["--encoder", tmp_path / "encoder", "--out"]
    assert run(*words, "own")[0] == run(*words, "other", "--backbone", other)[0] == 0
    assert run(*words, "half", "--dtype", "bfloat16")[0] == 0
    own, theirs, half = (np.asarray(Image.open(f"{name}/0.png"), int) for name in ("own", "other", "half"))
    assert np.abs(own - theirs).mean() > 5
    assert 0 < np.abs(own - half).mean() < 5


def test_an_identity_is_read_as_an_adapter_reads_it(people, run, adapter, tmp_path):
    fabricate(tmp_path / "more", {"train": 1}, size=(96, 64))
    words = ["identity", "create", "--folder", "more", "--person", "p000000", "--adapter", adapter, "--name"]
    assert run(*words, "zoe")[0] == 0
    assert HOME.load("zoe").keys() == {"face", "body"}
    assert HOME.load("zoe")["body"].model == read_card(adapter)[1].conditions["body"].arguments["fingerprint"]
    assert run("generate", "a photo", "--adapter", adapter, "--identity", "zoe", "--count", 1, *SHORT)[0] == 0
    card = (adapter / "adapter.json").read_text()
    (adapter / "adapter.json").write_text(card.replace('"fingerprint": ""', f'"fingerprint": "{"e" * 64}"'))
    status, _, err = run(*words, "yan")
    assert (status, "what embeds the faces of more is not the network" in err) == (1, True)


def test_another_encoders_identity_is_refused_with_the_reason(run, adapter):
    HOME.save("ann", Identity({"body": Embedding(torch.ones(8), "0123456789")}))
    status, _, err = run("generate", "a photo", "--adapter", adapter, "--identity", "ann", *SHORT)
    assert status == 1
    assert re.search(r"what embedded the identity's body is not the network .* begins with 01234567", err)
    assert not Path("pictures").exists()


def test_a_code_of_another_size_is_refused(run, adapter):
    HOME.save("ann", person(adapter, body=torch.ones(5)))
    status, _, err = run("generate", "a photo", "--adapter", adapter, "--identity", "ann", *SHORT)
    assert status == 1
    assert "5 numbers" in err


def test_what_an_adapter_wants_to_know_must_be_known(run, adapter, caplog):
    HOME.save("faceless", person(adapter, body=torch.ones(8)))
    HOME.save("looks", Identity({"image": Embedding(torch.ones(4), "i" * 64)}))
    words = ["generate", "a photo", "--adapter", adapter, "--count", 1, *SHORT, "--identity"]
    assert run(*words, "faceless")[0] == 0
    assert "faceless holds no face: that condition of the adapter is off" in caplog.text
    status, _, err = run(*words, "looks")
    assert (status, "looks holds nothing that this adapter generates by (face, body)" in err) == (1, True)


def test_an_identity_for_an_image_condition_holds_the_clip_embedding(people, run, bundle):
    words = ["identity", "create", "--folder", "photos", "--person", people[0], "--name", "seen"]
    assert run(*words, "--clip", bundle / "clip_loss")[0] == 0
    condition = ImageCondition(str(bundle / "clip_loss"))
    seen, ann = HOME.load("seen"), HOME.load("ann")
    assert seen["image"].values.shape == (condition.embed_dim,)
    assert seen["image"].model == condition.fingerprint
    assert torch.equal(seen["body"].values, ann["body"].values)


def test_one_broken_file_does_not_hide_the_others(people, run):
    HOME.path("broken").write_text("no identity")
    status, out, _ = run("identity", "list")
    assert status == 0
    assert [line.partition(":")[0] for line in out.splitlines()] == ["ann", "ben", "broken"]
    assert "broken: cannot be read: " in out
