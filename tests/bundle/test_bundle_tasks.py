"""What trains the bundle: a short fit moves it, and what it exports is what users' classes load."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bolid.bundle.autoencoder import AutoencoderSize, AutoencoderTask, AutoencoderWeights
from bolid.bundle.clip import ClipSize, ClipTask
from bolid.bundle.face import FaceTask, align_faces, export_face
from bolid.bundle.pose import PoseTask
from bolid.bundle.text_to_image import TextToImageTask
from bolid.core.errors import BolidError
from bolid.core.pictures import to_uint8
from bolid.models.backbones import StableDiffusion
from bolid.vision.clip import ClipModel
from bolid.vision.face import TEMPLATE, FaceEmbedder
from bolid.vision.pose import PoseEstimator
from tests import miniature
from tests.commands.quiet import quiet_trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return miniature.save_sd(tmp_path_factory.mktemp("models") / "sd", "v_prediction")


@pytest.fixture
def new(folder):
    """Makes a task by its kind."""

    def make(kind, **more):
        torch.manual_seed(0)
        return {
            "autoencoder": lambda: AutoencoderTask(AutoencoderSize((8, 8)), **more),
            "text_to_image": lambda: TextToImageTask(StableDiffusion(str(folder)), **more),
            "clip": lambda: ClipTask(folder / "tokenizer", ClipSize((48, 32), 8, 32, 1, 1), **more),
            "pose": lambda: PoseTask(0.33, 0.0625, **more),
            "face": lambda: FaceTask(8, **more),
        }[kind]()

    return make


def test_a_group_shares_noise_timestep_and_drops(new, monkeypatch):
    task = new("text_to_image", text_dropout=0.5)
    b = miniature.batch(32)
    b.pictures = b.pictures[:1].expand_as(b.pictures)  # so that what is noised differs by the noise alone
    b.groups = torch.arange(32) % 16
    seen = {}
    monkeypatch.setattr(
        task.backbone, "encode_prompt", lambda captions: seen.update(dropped=torch.tensor([not c for c in captions]))
    )
    monkeypatch.setattr(
        task.backbone, "predict",
        lambda noisy, timesteps, *_: seen.update(noisy=noisy, timesteps=timesteps) or torch.zeros_like(noisy),
    )  # fmt: skip
    task.loss(b, torch.Generator().manual_seed(0))
    for found in (seen["noisy"], seen["timesteps"], seen["dropped"]):
        assert torch.equal(found[:16], found[16:])
        assert len(set(map(str, found[:16].tolist()))) > 1


def batch(kind, seed=0):
    """A batch with people's boxes; twice as large for the pose network, whose coarsest cells have 32 pixels."""
    b = miniature.batch(seed=seed)
    b.silhouettes = torch.zeros_like(b.silhouettes)
    b.silhouettes[..., 6:40, 8:24] = 1
    b.keypoints[:, :3, 2] = 1
    b.keypoints[:, [2, 1, 0], :2] = torch.from_numpy(TEMPLATE) * 0.4 - torch.arange(len(b))[:, None, None]
    b.file_names = [f"{seed}_{name}" for name in b.file_names]
    if kind != "pose":
        return b
    pictures, silhouettes = (F.interpolate(x, scale_factor=2.0) for x in (b.pictures, b.silhouettes))
    keypoints = b.keypoints * torch.tensor([2.0, 2.0, 1.0])
    return replace(b, pictures=pictures, silhouettes=silhouettes, keypoints=keypoints)


def fit(task, kind, folder, steps=2, **more):
    data = DataLoader([batch(kind, seed) for seed in range(steps)], batch_size=None)
    trainer = quiet_trainer(folder, **({"max_steps": steps} | more))
    trainer.fit(task, data, data)
    return trainer


KINDS = ["autoencoder", "text_to_image", "clip", "pose", "face"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_fit_moves_what_is_trained_and_a_checkpoint_brings_it_back(new, tmp_path, kind):
    task = new(kind)
    before = {n: v.clone() for n, v in task.state_dict().items()}
    trainer = fit(task, kind, tmp_path)
    after = task.state_dict()
    moved = {n for n, v in after.items() if not torch.equal(v, before[n])}
    parameters = {n for n, p in task.named_parameters() if p.requires_grad}
    assert moved <= task.trained_keys()
    assert len(moved & parameters) > 0.8 * len(parameters)  # a rectifier or a class may have had nothing to say
    assert all(torch.isfinite(v).all() for v in after.values())
    assert all(np.isfinite(float(v)) for v in trainer.callback_metrics.values())
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    again = new(kind, init_from=tmp_path / "x.ckpt", optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    fit(again, kind, tmp_path, steps=1, limit_train_batches=0)
    again.on_load_checkpoint(torch.load(tmp_path / "x.ckpt", weights_only=True))
    again.load_state_dict(torch.load(tmp_path / "x.ckpt", weights_only=True)["state_dict"], strict=False)
    assert all(torch.equal(v, after[n]) for n, v in again.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_fitting_one_batch_lowers_its_loss(new, kind):
    task, b = new(kind), batch(kind)
    value = {
        "autoencoder": lambda: task.loss(b, None)[0],
        "text_to_image": lambda: task.loss(b, torch.Generator().manual_seed(0)),
        "clip": lambda: task.loss(b)[0],
        "pose": lambda: task.loss(b.pictures, b),
        "face": lambda: face_loss(task, b),
    }[kind]
    optimizer, losses = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], 2e-3), []
    for _ in range(8):
        loss = value()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-2:]) < losses[0]


def face_loss(task, b):
    task.step_generator = lambda: torch.Generator().manual_seed(0)
    task.log_dict = lambda *a, **k: None
    return task.training_step(b, 0)


def test_the_exported_autoencoder_is_the_trained_one_with_latents_of_unit_variance(new, tmp_path):
    task, b = new("autoencoder"), batch("autoencoder")
    fit(task, "autoencoder", tmp_path)
    task.export(tmp_path / "vae")
    vae = AutoencoderKL.from_pretrained(str(tmp_path / "vae")).eval()
    with torch.no_grad():
        ours, theirs = (m.encode(b.pictures).latent_dist.mode() for m in (task.vae.eval(), vae))
        assert torch.equal(ours, theirs)
        assert torch.equal(task.vae.decode(ours).sample, vae.decode(ours).sample)
    assert vae.config.scaling_factor == pytest.approx(1 / task.spread.item(), abs=1e-4)
    assert task.spread.item() == pytest.approx(ours.std().item(), rel=0.5)


def test_the_autoencoders_person_counts_more_and_an_unknown_silhouette_is_the_whole_picture(new):
    task, b = new("autoencoder").eval(), batch("autoencoder")
    loss, psnr = task.loss(b, None)
    with torch.no_grad():
        drawn = task.vae(b.pictures).sample
    error = ((drawn - b.pictures) / 2).square()[..., 6:40, 8:24]
    assert psnr.item() == pytest.approx(-10 * np.log10(error.mean().item()), abs=1e-3)
    b.silhouettes[:] = 0
    b.silhouette_known[:] = False
    _, whole = task.loss(b, None)
    assert whole.item() == pytest.approx(-10 * np.log10(((drawn - b.pictures) / 2).square().mean().item()), abs=1e-3)
    b.silhouettes[:] = 1
    b.silhouette_known[:] = True
    assert task.loss(b, None)[1].item() == pytest.approx(whole.item())
    assert loss.isfinite()


def test_an_autoencoder_in_training_also_has_to_decode_halved_latents(new):
    task, b = new("autoencoder"), batch("autoencoder")
    losses = {}
    for weight in (0.0, 0.5):
        task.weights = AutoencoderWeights(kl=0.0, half=weight)
        losses[weight] = task.loss(b, torch.Generator().manual_seed(0))[0].item()
    with torch.no_grad():
        latents = task.vae.encode(b.pictures).latent_dist.sample(torch.Generator().manual_seed(0))
        drawn = task.vae.decode(F.interpolate(latents, scale_factor=0.5, mode="area")).sample
    pictures, person = (F.interpolate(each, scale_factor=0.5, mode="area") for each in (b.pictures, b.silhouettes))
    weight = (1 + task.weights.person * person).expand_as(pictures)
    error = (drawn - pictures).abs() + (drawn - pictures).square() / 2
    assert losses[0.5] - losses[0.0] == pytest.approx(0.5 * np.average(error, weights=weight), rel=1e-3)


def test_the_exported_stable_diffusion_is_the_trained_one_and_stock_diffusers_draws_with_it(new, tmp_path):
    task, b = new("text_to_image"), batch("text_to_image")
    fit(task, "text_to_image", tmp_path)
    task.export(tmp_path / "sd")
    again = StableDiffusion(str(tmp_path / "sd"))
    noisy = torch.randn(4, 4, 24, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = (
            m.predict(noisy, torch.tensor([5] * 4), m.encode_prompt(b.captions), [], b.time_ids)
            for m in (task.backbone.eval(), again.eval())
        )
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    stock = StableDiffusionPipeline.from_pretrained(tmp_path / "sd", dtype=torch.float32, local_files_only=True)
    drawn = stock(b.captions[0], num_inference_steps=1, height=48, width=32, output_type="pt").images
    assert drawn.shape == (1, 3, *miniature.SIZE)


def test_each_photo_is_encoded_once(new, monkeypatch):
    task, b = new("text_to_image"), batch("text_to_image")
    calls, encode = [], task.backbone.encode_pictures
    monkeypatch.setattr(task.backbone, "encode_pictures", lambda p: calls.append(len(p)) or encode(p))
    first, other = task.encode(b), batch("text_to_image", 1)
    other.file_names[0], other.pictures[0] = b.file_names[0], b.pictures[0]
    assert torch.equal(task.encode(b), first)
    torch.testing.assert_close(task.encode(other), encode(other.pictures), atol=1e-5, rtol=1e-5)
    assert calls == [4, 3]


def test_the_exported_clip_is_the_trained_one(new, tmp_path):
    task, b = new("clip"), batch("clip")
    fit(task, "clip", tmp_path)
    task.export(tmp_path / "clip")
    clip, (mean, std) = ClipModel(str(tmp_path / "clip")), task._statistics(b.pictures)
    with torch.no_grad():
        image, text, _ = task.network.eval()(((b.pictures + 1) / 2 - mean) / std, task.tokenizer(b.captions))
    torch.testing.assert_close(clip.encode_images((b.pictures + 1) / 2), image, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(clip.encode_texts(b.captions), text, atol=1e-5, rtol=1e-4)


def test_a_clip_can_see_by_a_network_of_timm(folder, tmp_path):
    torch.manual_seed(0)
    size = ClipSize((64, 48), text_width=16, text_layers=1, timm="test_convnext")
    task, pictures = ClipTask(folder / "tokenizer", size), torch.rand(2, 3, 64, 48, requires_grad=True)
    task.export(tmp_path / "clip")
    clip, (mean, std) = ClipModel(str(tmp_path / "clip")), task._statistics(pictures)
    found = clip.encode_images(pictures)
    torch.testing.assert_close(found, task.network.eval()((pictures - mean) / std)[0], atol=1e-5, rtol=1e-4)
    found[:, 0].sum().backward()
    assert (pictures.grad != 0).all((1, 2, 3)).all()
    assert (clip.num_features, type(task.network.visual).__name__) == (16, "TimmModel")


def test_clips_export_keeps_the_vocabulary_it_was_trained_with(folder, tmp_path):
    import shutil

    shutil.copytree(folder / "tokenizer", tmp_path / "tokenizer")
    task = ClipTask(tmp_path / "tokenizer", ClipSize((48, 32), 8, 32, 1, 1))
    shutil.rmtree(tmp_path / "tokenizer")
    task.export(tmp_path / "clip")
    tokens = ClipModel(str(tmp_path / "clip"))._tokenizer(miniature.CAPTIONS)
    assert torch.equal(tokens, task.tokenizer(miniature.CAPTIONS))


def test_the_exported_pose_network_is_the_trained_one(new, tmp_path):
    task, b = new("pose"), batch("pose")
    fit(task, "pose", tmp_path)
    task.export(tmp_path / "pose")
    pose = PoseEstimator(tmp_path / "pose")
    assert pose.image_size == 96
    pictures = (b.pictures + 1) / 2
    with torch.no_grad():
        ours, theirs = task.network.eval()(pictures)[0], pose.network(pictures)[0]
    torch.testing.assert_close(ours, theirs)
    assert pose(pictures).keypoints.shape == (4, 17, 3)


def test_a_pose_fit_that_had_nothing_left_to_do_exports_a_usable_network(new, tmp_path):
    new("pose").export(tmp_path / "pose")
    assert PoseEstimator(tmp_path / "pose").image_size == 96


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory):
    """An untrained recogniser as insightface loads it."""
    task = FaceTask(2)
    export_face(task.network, tmp_path_factory.mktemp("face"))
    export_face(task.network, root := tmp_path_factory.mktemp("face"))
    return FaceEmbedder(root)


def faces(count=6):
    """Smooth pictures (B, 3, 144, 96) in -1..1, as 8-bit ones would be, with upright, turned and cut-off faces."""
    g = torch.Generator().manual_seed(0)
    pictures = F.interpolate(torch.rand(count, 3, 9, 6, generator=g), (144, 96), mode="bicubic").clamp(0, 1)
    keypoints, rng = torch.zeros(count, 17, 3), np.random.default_rng(0)
    keypoints[..., 2] = 1
    for i in range(count):
        angle, scale = rng.uniform(-0.5, 0.5), rng.uniform(0.4, 1.2)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points = (TEMPLATE - 56) @ turn.T + [48, 60] + rng.normal(size=(3, 2))
        keypoints[i, [2, 1, 0], :2] = torch.from_numpy(points).float()
    return (pictures * 255).round() / 127.5 - 1, keypoints


def test_faces_are_aligned_as_the_embedder_does(recogniser):
    pictures, keypoints = faces()
    keypoints[2, 0, 2] = 0.5  # the nose is self-occluded
    keypoints[4, :, :2] *= 0.2  # too small
    aligned, rows = align_faces(pictures, keypoints)
    assert rows == [0, 1, 3, 5]
    for row, ours in zip(rows, aligned, strict=True):
        theirs = recogniser.align(to_uint8(pictures / 2 + 0.5)[row], keypoints[row].numpy())
        assert np.array_equal(((ours + 1) * 127.5).round().permute(1, 2, 0).numpy(), theirs)


def test_photos_without_a_face_give_none():
    pictures, keypoints = faces(2)
    aligned, rows = align_faces(pictures, 0 * keypoints)
    assert (aligned.shape, rows) == ((0, 3, 112, 112), [])


def test_the_exported_recogniser_is_the_trained_one(new, tmp_path):
    task = new("face")
    fit(task, "face", tmp_path)
    task.export(tmp_path / "face")
    embedder, (pictures, keypoints) = FaceEmbedder(tmp_path / "face"), faces()
    photos = to_uint8(pictures / 2 + 0.5)
    aligned = [embedder.align(p, k.numpy()) for p, k in zip(photos, keypoints, strict=True)]
    with torch.no_grad():
        tensor = torch.from_numpy(np.stack(aligned)).permute(0, 3, 1, 2) / 127.5 - 1
        expected = F.normalize(task.network.eval()(tensor))
    np.testing.assert_allclose(embedder.embed_aligned(aligned), expected.numpy(), atol=1e-4)
    one = embedder.embed(photos[0], keypoints[0].numpy())
    np.testing.assert_allclose(one, expected[0].numpy(), atol=1e-4)
    assert task.network.training is False  # the export itself does not change the mode
    assert embedder.size == 112


def test_a_batch_with_fewer_than_two_faces_is_skipped(new):
    task, b = new("face"), batch("face")
    b.keypoints[0, 0, 2] = 0.5  # the nose is self-occluded
    b.keypoints[1, 2, 2] = 0
    assert face_loss(task, b).isfinite()
    b.keypoints[2:, 0, 2] = 0
    assert face_loss(task, b) is None


def test_people_are_told_apart_by_their_number(new):
    task = new("face")
    assert task.classes(["p000000", "p000007", "p012008"]).tolist() == [0, 7, 0]
    with pytest.raises(BolidError, match="anna"):
        task.classes(["p000001", "anna"])
