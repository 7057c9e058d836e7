"""`bolid test` on the bundle's members: the report holds what the task's own network scores."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bolid.bundle.autoencoder import AutoencoderSize, AutoencoderTask
from bolid.bundle.clip import ClipSize, ClipTask
from bolid.bundle.face import FaceTask, align_faces
from bolid.bundle.metrics.pose import PoseMAP50
from bolid.bundle.pose import PoseTask
from bolid.callbacks import WriteReport
from bolid.core.errors import BolidError
from bolid.metrics.base import real_pictures
from bolid.vision.face import TEMPLATE
from bolid.vision.pose import PoseEstimator
from tests import miniature
from tests.commands.quiet import quiet_trainer


def outcome(task, batches, folder):
    """The report of a test."""
    trainer = quiet_trainer(folder, callbacks=[WriteReport()])
    trainer.test(task, DataLoader(batches, batch_size=None))
    report = json.loads((folder / "report.json").read_text())
    logged = {name.removeprefix("test/"): float(value) for name, value in trainer.callback_metrics.items()}
    assert all(report[name] == pytest.approx(value) for name, value in logged.items() if np.isfinite(value))
    assert report["seed"] == task.seed
    assert report["pictures"] == sum(map(len, batches))
    return report


@pytest.fixture
def captioned():
    """64 photos of one colour each, in batches of 32, whose captions say it in letters."""
    batches = [miniature.batch(32, seed=seed) for seed in range(2)]
    for k, batch in enumerate(batches):
        red, green = torch.arange(32) // 8 + 4 * k, torch.arange(32) % 8
        batch.pictures = (torch.stack([red, green, green], 1) / 4 - 1)[..., None, None].expand_as(batch.pictures)
        batch.full_captions = [f"{'abcdefgh'[r]} {'stuvwxyz'[g]}" for r, g in zip(red, green, strict=True)]
    return batches


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    return miniature.save_sd(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture
def clip(sd):
    torch.manual_seed(0)
    return ClipTask(sd / "tokenizer", ClipSize((48, 32), 16, 32, 1, 1), seed=3)


def retrieval(task, batches):
    pictures, captions = torch.cat([b.pictures for b in batches]), [c for b in batches for c in b.full_captions]
    mean, std = task._statistics(pictures)
    with torch.no_grad():
        image, text, _ = task.network.eval()((pictures / 2 + 0.5 - mean) / std, task.tokenizer(captions))
    cosine = (image @ text.T).numpy()
    return [np.mean(cosine.argmax(axis) == np.arange(64)) for axis in (1, 0)]


def test_an_autoencoders_psnr(tmp_path):
    from torchmetrics.functional.image import peak_signal_noise_ratio

    torch.manual_seed(0)
    task, batches = AutoencoderTask(AutoencoderSize((8, 8))), [miniature.batch(seed=seed) for seed in range(2)]
    report = outcome(task, batches, tmp_path)
    pictures, person = torch.cat([b.pictures for b in batches]), torch.cat([b.silhouettes for b in batches])
    with torch.no_grad():
        drawn = task.vae.eval()(pictures).sample.clamp(-1, 1)
    mask = person.bool().expand_as(pictures)
    expected = peak_signal_noise_ratio(drawn[mask], pictures[mask], data_range=2.0)
    assert report["psnr"] == pytest.approx(expected.item(), abs=1e-3)
    scores = {"psnr", "psnr/head", "psnr/whole", "sharpness", "sharpness/head", "sharpness/whole"}
    assert set(report) == {*scores, "pictures", "seed"}  # no caption names a framing


def test_an_earlier_export_is_scored_in_place_of_the_tasks_weights(tmp_path):
    batches = [miniature.batch()]
    torch.manual_seed(0)
    other = AutoencoderTask(AutoencoderSize((8, 8)))
    report = outcome(other, batches, tmp_path)
    other.export(tmp_path / "vae")
    exported = AutoencoderTask(AutoencoderSize((8, 8)), init_from=tmp_path / "vae")
    assert outcome(exported, batches, tmp_path) == pytest.approx(report)
    assert outcome(AutoencoderTask(AutoencoderSize((8, 8))), batches, tmp_path)["psnr"] != pytest.approx(report["psnr"])


def test_a_clips_retrieval_both_ways(clip, captioned, tmp_path):
    optimizer = torch.optim.AdamW(clip.parameters(), 3e-3)
    for batch in captioned * 15:
        batch.captions = batch.full_captions
        optimizer.zero_grad()
        clip.loss(batch)[0].backward()
        optimizer.step()
    report = outcome(clip, captioned, tmp_path)
    found = [report["top1_of_64/picture_to_caption"], report["top1_of_64/caption_to_picture"]]
    assert found == pytest.approx(retrieval(clip, captioned))
    assert 0.04 < min(found) < max(found)  # chance is 1 in 64, and the directions are told apart


def test_too_few_photos_to_score_a_clip_are_a_message(clip, captioned, tmp_path):
    with pytest.raises(BolidError, match=r"needs 64 photos .* there are 32 photos: raise data.rendered.test.people"):
        outcome(clip, captioned[:1], tmp_path)


def test_a_pose_networks_precision(tmp_path):
    torch.manual_seed(0)
    batches = [miniature.batch(seed=seed) for seed in range(2)]
    task = PoseTask(0.33, 0.0625, image_size=64)
    report = outcome(task, batches, tmp_path)
    task.export(tmp_path / "pose")
    expected = PoseMAP50(PoseEstimator(tmp_path / "pose"))
    for batch in batches:
        expected.update(real_pictures(batch), batch)
    assert report == pytest.approx(
        {name: float(value) for name, value in expected.compute().items()} | {"pictures": 8, "seed": 0}
    )


def test_a_recognisers_verification(tmp_path):
    torch.manual_seed(0)
    task, batches = FaceTask(8), [miniature.batch(6, seed=seed) for seed in range(2)]
    for batch in batches:
        batch.keypoints[..., 2] = 1
        batch.keypoints[:, [2, 1, 0], :2] = torch.from_numpy(TEMPLATE) * 0.4 - torch.rand(6, 1, 2) * 4
        batch.identities = ["p0", "p1", "p2"] * 2
    batches[1].keypoints[0] = 0
    report = outcome(task, batches, tmp_path)
    pictures, keypoints = (torch.cat([getattr(b, name) for b in batches]) for name in ("pictures", "keypoints"))
    faces, rows = align_faces(pictures, keypoints)
    with torch.no_grad():
        cosine = F.normalize(task.network.eval()(faces)).numpy()
    cosine, pairs = cosine @ cosine.T, [(i, j) for i in range(11) for j in range(i)]
    same, other = ([cosine[i, j] for i, j in pairs if (rows[i] % 3 == rows[j] % 3) is equal] for equal in (True, False))
    expected = np.mean([[a > b for b in other] for a in same])
    assert report["verification_auc"] == pytest.approx(expected, abs=1e-2)  # ONNX rounds otherwise
    assert report["faces_found"] == pytest.approx(11 / 12)
