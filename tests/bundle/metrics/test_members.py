"""The scores of the bundle's members against independent computations."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bolid.bundle.metrics.face import FaceVerification, verification_auc
from bolid.bundle.metrics.pose import PoseMAP50
from bolid.bundle.metrics.psnr import PersonPSNR
from bolid.bundle.metrics.retrieval import CaptionRetrieval, different
from bolid.bundle.metrics.round_trip import RoundTripScores
from bolid.bundle.metrics.sharpness import Sharpness
from bolid.core.boxes import silhouette_boxes
from bolid.core.errors import BolidError
from bolid.metrics.base import numbered
from bolid.synthetic.wording import attributes
from bolid.vision.yolo import import_ultralytics
from tests.metrics.metric_fakes import make_batch

FRAMINGS = ("full length", "close-up portrait", "full-body photo", "in the distance")


class Blur(nn.Module):
    """An autoencoder whose latents are half as large."""

    def encode(self, pictures):
        small = F.avg_pool2d(pictures, 2)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: small))

    def decode(self, latents):
        return SimpleNamespace(sample=1.1 * F.interpolate(latents, scale_factor=2.0))


@pytest.fixture
def photos():
    """Four photos in 0..1 and their batch: with two framings, a head on two of them, and one unknown silhouette."""
    g = torch.Generator().manual_seed(0)
    pictures = torch.rand(4, 3, 8, 6, generator=g)
    batch = make_batch(pictures * 2 - 1)
    batch.silhouettes = (torch.rand(4, 1, 8, 6, generator=g) > 0.5).float()
    batch.silhouette_known[:3] = True
    batch.full_asked = [attributes(framing) for framing in FRAMINGS]
    batch.keypoints[1:3, 3] = torch.tensor([1.0, 3.0, 1.0])  # from ear to ear
    batch.keypoints[1:3, 4] = torch.tensor([4.0, 3.0, 1.0])
    return pictures, batch


def test_psnr_is_torchmetrics_on_the_persons_pixels(photos):
    from torchmetrics.functional.image import peak_signal_noise_ratio

    pictures, batch = photos
    metric = RoundTripScores(Blur(), [PersonPSNR()])
    for part in (slice(0, 1), slice(1, 4)):
        metric.update(pictures[part], batch[part])
    found = metric.compute()
    drawn = (1.1 * F.interpolate(F.avg_pool2d(pictures * 2 - 1, 2), scale_factor=2.0) / 2 + 0.5).clamp(0, 1)
    person = batch.silhouettes.bool() | ~batch.silhouette_known[:, None, None, None]
    y, x = np.mgrid[:8, :6] + 0.5
    head = torch.from_numpy(np.hypot(x - 2.5, y - 3) < 0.9 * 3)

    def expected(*rows, mask=person):
        mask = mask[list(rows)].expand(-1, 3, -1, -1)
        return peak_signal_noise_ratio(drawn[list(rows)][mask], pictures[list(rows)][mask], data_range=1.0)

    framings = {"psnr/full_length", "psnr/three-quarter_length", "psnr/head_and_shoulders"}
    assert set(found) == {"psnr", "psnr/head", "psnr/whole"} | framings
    torch.testing.assert_close(found["psnr"], expected(0, 1, 2, 3))
    torch.testing.assert_close(found["psnr/full_length"], expected(0, 2))
    torch.testing.assert_close(found["psnr/head_and_shoulders"], expected(1))
    torch.testing.assert_close(found["psnr/head"], expected(1, 2, mask=head.expand(4, 1, -1, -1)))
    torch.testing.assert_close(found["psnr/whole"], expected(0, 1, 2, 3, mask=torch.ones_like(person)))
    assert found["psnr/three-quarter_length"].isnan()


def test_sharpness_is_the_share_of_the_photos_fine_power_that_images_have(photos):
    pictures, batch = photos
    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="circular"), 3, 1)
    metric = Sharpness()
    for part in (slice(0, 3), slice(3, 4)):
        metric.update(blurred[part], batch[part])
    person = torch.where(batch.silhouette_known[:, None, None, None], batch.silhouettes, 1.0).double().numpy()

    def power(shown, mask):
        spectrum = np.fft.fft2(shown.double().numpy())
        y, x = np.fft.fftfreq(8)[:, None], np.fft.fftfreq(6)[None]
        return (np.fft.ifft2(spectrum * (y**2 + x**2 > 1 / 16)).real ** 2 * mask).sum()

    found = metric.compute()
    assert found["sharpness"].item() == pytest.approx(power(blurred, person) / power(pictures, person), rel=1e-4)
    assert found["sharpness/whole"].item() == pytest.approx(power(blurred, 1) / power(pictures, 1), rel=1e-4)
    assert 0 < found["sharpness/head"] < 1
    metric.reset()
    metric.update(pictures, batch)
    assert metric.compute()["sharpness"].item() == pytest.approx(1)


class Letters(nn.Module):
    """A CLIP whose text embedding is fixed by the caption, and whose picture is the embedding."""

    num_features = 5

    def encode_images(self, pictures):
        return F.normalize(pictures.flatten(1))

    def encode_texts(self, texts):
        seeds = (torch.Generator().manual_seed(int(numbered([text]) % 1000)) for text in texts)
        return F.normalize(torch.stack([torch.randn(5, generator=g) for g in seeds]))


def test_retrieval_is_among_different_captions_both_ways():
    g = torch.Generator().manual_seed(0)
    captions = [f"caption {k}" for k in (0, 0, 1, 2, 3, 1, 4, 5, 5, 6)]
    texts = Letters().encode_texts(captions)
    pictures = (texts + 0.8 * torch.randn(10, 5, generator=g))[:, :, None, None]
    metric, batch = CaptionRetrieval(Letters(), size=4), make_batch(torch.zeros(10, 3, 4, 4))
    batch.full_captions = captions
    for part in (slice(0, 3), slice(3, 10)):
        metric.update(pictures[part], batch[part])
    forward, backward = [], []
    for rows in ((0, 2, 3, 4), (1, 5, 6, 7)):  # 8 and 9 are left for a third group that does not fill
        cosine = F.normalize(pictures.flatten(1)).numpy()[list(rows)] @ texts.numpy()[list(rows)].T
        forward += [cosine[k].argmax() == k for k in range(4)]
        backward += [cosine[:, k].argmax() == k for k in range(4)]
    found = {name: value.item() for name, value in metric.compute().items()}
    assert found == {
        "top1_of_4/picture_to_caption": np.mean(forward),
        "top1_of_4/caption_to_picture": np.mean(backward),
    }
    assert 0.25 < np.mean(forward) < 1
    metric.reset()
    metric.update(pictures[:3], batch[:3])
    with pytest.raises(BolidError, match="needs 4 photos with different captions, there are 3"):
        metric.compute()


def test_groups_hold_different_labels():
    labels = np.random.default_rng(0).integers(0, 40, 200).tolist()
    groups = different(labels, 16)
    assert len(groups) >= 8
    assert all(len({labels[k] for k in group}) == 16 for group in groups)
    assert len({k for group in groups for k in group}) == 16 * len(groups)


def test_equal_names_have_equal_numbers_only():
    names = [f"p{k:06d}" for k in range(1000)]
    assert len(set(numbered(names).tolist())) == 1000
    assert torch.equal(numbered(names), numbered(names))
    assert numbered([]).shape == (0,)


class Crowd:
    """Sees twenty people around the true one of each picture, and knows the picture by its brightness."""

    def __init__(self, boxes, keypoints):
        g, (count, people) = torch.Generator().manual_seed(1), (len(boxes), 20)
        noise = torch.randn(count, 4, people, generator=g) * torch.tensor([6.0, 6.0, 3.0, 3.0])[:, None]
        places = keypoints[..., :2, None] + 3 * torch.randn(count, 17, 2, people, generator=g)
        confidence, scores = torch.rand(count, 17, 1, people, generator=g), torch.rand(count, 1, people, generator=g)
        points = torch.cat([places, confidence], 2).flatten(1, 2)
        self.found = torch.cat([boxes[..., None] + noise, scores**4, points], 1)  # (B, 56, 20)

    def candidates(self, pictures):
        return self.found[pictures[:, 0, 0, 0].round().long()].clone()


def test_map50_is_that_of_ultralytics_own_validator(tmp_path):
    import_ultralytics()  # or its settings would be others for every test that follows
    from ultralytics.models.yolo.pose import PoseValidator

    g, size = torch.Generator().manual_seed(0), torch.tensor([64.0, 96.0, 1.0])
    pictures = torch.arange(24.0)[:, None, None, None].expand(24, 3, 96, 64)
    batch = make_batch(torch.zeros(24, 3, 96, 64))
    batch.silhouette_known[:] = True
    for mask, (x, y) in zip(batch.silhouettes, torch.rand(24, 2, generator=g), strict=True):
        mask[0, int(40 * y) : int(40 * y) + 50, int(30 * x) : int(30 * x) + 30] = 1
    boxes = silhouette_boxes(batch.silhouettes)
    batch.keypoints = torch.rand(24, 17, 3, generator=g) * torch.tensor([30.0, 50.0, 1.0])
    batch.keypoints[..., :2] += (boxes[:, None, :2] - boxes[:, None, 2:] / 2) * size[:2]
    batch.keypoints[:, ::3, 2] = 0
    crowd = Crowd(boxes * size[[0, 1, 0, 1]], batch.keypoints)
    metric = PoseMAP50(crowd)
    for part in (slice(0, 5), slice(5, 24)):
        metric.update(pictures[part], batch[part])
    found = metric.compute()

    validator = PoseValidator(save_dir=tmp_path / "val", args={"imgsz": 96, "plots": False})
    validator.data, validator.device = {"kpt_shape": [17, 3]}, torch.device("cpu")
    validator.init_metrics(SimpleNamespace(names={0: "person"}))
    labels = {"img": pictures, "batch_idx": torch.arange(24), "cls": torch.zeros(24, 1), "bboxes": boxes}
    labels |= {"keypoints": batch.keypoints / size, "ori_shape": [(96, 64)] * 24, "ratio_pad": [None] * 24}
    labels |= {"im_file": [f"{k}.png" for k in range(24)]}
    validator.update_metrics(validator.postprocess(crowd.candidates(pictures)), labels)
    theirs = validator.get_stats()
    assert found["map50/box"].item() == pytest.approx(theirs["metrics/mAP50(B)"], abs=1e-6)
    assert found["map50/keypoints"].item() == pytest.approx(theirs["metrics/mAP50(P)"], abs=1e-6)
    assert 0.1 < found["map50/box"] < 0.9
    assert 0.1 < found["map50/keypoints"] < 0.9


def test_a_network_that_finds_nobody_has_no_precision():
    nobody = SimpleNamespace(candidates=lambda pictures: torch.zeros(len(pictures), 56, 3))
    metric, batch = PoseMAP50(nobody), make_batch(torch.zeros(2, 3, 96, 64))
    batch.silhouette_known[:] = True
    metric.update(torch.zeros(2, 3, 96, 64), batch)
    assert metric.compute() == {"map50/box": 0, "map50/keypoints": 0}


class Known:
    """Embeds a face as the photo's first pixel says, and not at all if that is black."""

    def embed(self, rgb, keypoints):
        vector = np.zeros(512, np.float32)
        vector[:3] = rgb[0, 0] / 255
        return None if not vector.any() else vector / np.linalg.norm(vector)


def test_verification_counts_pairs_of_the_faces_that_can_be_embedded():
    g = torch.Generator().manual_seed(0)
    pictures, names = torch.rand(12, 3, 2, 2, generator=g), list("aaabbbbccdee")
    pictures[4], batch = 0, make_batch(torch.zeros(12, 3, 2, 2))
    batch.identities = names
    metric = FaceVerification(Known())
    for part in (slice(0, 5), slice(5, 12)):
        metric.update(pictures[part], batch[part])
    vectors = F.normalize((pictures[:, :, 0, 0] * 255).round())
    pairs = [(i, j) for i in range(12) for j in range(i) if 4 not in (i, j)]
    cosine = {p: float(vectors[p[0]] @ vectors[p[1]]) for p in pairs}
    same = [cosine[p] for p in pairs if names[p[0]] == names[p[1]]]
    other = [cosine[p] for p in pairs if names[p[0]] != names[p[1]]]
    found = metric.compute()
    expected = np.mean([[a > b for b in other] for a in same])
    assert found["verification_auc"].item() == pytest.approx(expected, abs=1e-5)
    assert found["faces_found"].item() == pytest.approx(11 / 12)


def test_verification_of_embeddings_that_tell_people_apart_is_one():
    people = torch.tensor([3, 3, 9, 9])
    assert verification_auc(F.one_hot(people, 10).float(), people) == 1
