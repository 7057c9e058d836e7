"""A person read off photos, with a pose network and a recogniser whose answers are known."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.conditions import BodyCondition, FaceCondition, PoseCondition
from bolid.core.errors import BolidError
from bolid.models.crop import crop_to_person
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.pipelines.identify import crop_sizes, identify, pose_in, view_photos
from bolid.vision.found import People
from tests import miniature

KEYPOINTS = torch.tensor([[30.0 + 2 * k, 20.0 + 4 * k, 1.0] for k in range(17)])
BOX = torch.tensor([25.0, 15.0, 70.0, 90.0])
ONE = People(KEYPOINTS[None], BOX[None], torch.ones(1))


def read(photos, conditions, pose, face):
    return identify(conditions, view_photos(photos, crop_sizes(conditions), pose, face), "f" * 64)


class FakePose:
    """Finds the same person in every photo that is not black."""

    def people(self, pictures):
        return [
            self.of(picture) if picture.max() > 0.01 else People(*(part[:0] for part in ONE)) for picture in pictures
        ]

    def of(self, picture):
        return ONE


class FakeFace:
    """Embeds the mean colour; sees no face in blue photos."""

    def embed(self, rgb, keypoints):
        np.testing.assert_array_equal(keypoints, KEYPOINTS.numpy())
        colour = rgb.mean((0, 1)).astype(np.float32)
        return None if colour.argmax() == 2 else np.resize(colour / np.linalg.norm(colour), 512)


@pytest.fixture(scope="module")
def conditions(tmp_path_factory):
    body = str(miniature.save_body_vae(tmp_path_factory.mktemp("body")))
    return {"body": BodyCondition(body), "face": FaceCondition(), "pose": PoseCondition()}


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for name, colour in {
        "red": (250, 60, 60),
        "green": (60, 250, 60),
        "blue": (60, 60, 250),
        "black": (1, 1, 1),
    }.items():
        noise = rng.random((100, 80, 3)) * (name != "black")
        Image.fromarray((noise * colour).astype(np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_the_body_is_the_posteriors_mean_over_the_crops(conditions, photos):
    names = [photos / "red.png", photos / "blue.png"]
    views = [torch.from_numpy(np.asarray(Image.open(n)).copy()).permute(2, 0, 1) / 127.5 - 1 for n in names]
    crops, points = crop_to_person(torch.stack(views), KEYPOINTS.expand(2, -1, -1), BOX.expand(2, -1), miniature.SIZE)
    with torch.no_grad():
        posterior = conditions["body"].encoder.encode(crops[None], points[None], torch.ones(1, 2, dtype=torch.bool))
    body, model = read(names, conditions, FakePose(), None)["body"]
    torch.testing.assert_close(body, posterior.mean[0])
    torch.testing.assert_close(read(names[::-1], conditions, FakePose(), None)["body"].values, posterior.mean[0])
    assert not body.requires_grad
    assert model == conditions["body"].fingerprint


def test_the_face_is_the_mean_over_the_photos_that_show_one(conditions, photos):
    def face(*names):
        return read([photos / f"{n}.png" for n in names], conditions, FakePose(), FakeFace()).get("face")

    both = (face("red").values + face("green").values) / 2
    torch.testing.assert_close(face("red", "green", "blue").values, both)
    assert face("red").model == "f" * 64
    assert face("blue") is None
    assert read([photos / "red.png"], conditions, FakePose(), None).keys() == {"body"}


def test_a_network_whose_weights_are_broken_makes_no_identity(conditions, photos):
    broken = deepcopy(conditions["body"])
    broken.encoder.moments.weight[0] = torch.nan
    with pytest.raises(BolidError, match=r"read of the person's body .* holds numbers that are not finite"):
        read([photos / "red.png"], {"body": broken}, FakePose(), None)


def test_photos_of_nobody_are_left_out(conditions, photos):
    some = read([photos / "red.png", photos / "black.png"], conditions, FakePose(), FakeFace())
    one = read([photos / "red.png"], conditions, FakePose(), FakeFace())
    assert torch.equal(some["body"].values, one["body"].values)
    assert torch.equal(some["face"].values, one["face"].values)
    with pytest.raises(BolidError, match=r"no photo of one person: .*black\.png: no person found"):
        read([photos / "black.png"], conditions, FakePose(), None)
    with pytest.raises(BolidError, match="none were given"):
        read([], conditions, FakePose(), None)


def test_photos_that_cannot_be_used_are_named_and_left_out(conditions, photos, caplog):
    (photos / "text.png").write_text("not a picture")
    names = [photos / f"{name}.png" for name in ("text", "red", "missing")]
    some = read(names, conditions, FakePose(), None)
    assert torch.equal(some["body"].values, read(names[1:2], conditions, FakePose(), None)["body"].values)
    assert [name in record for name, record in zip(("text.png", "missing.png"), caplog.messages, strict=True)]
    with pytest.raises(BolidError, match=r"text\.png.*missing\.png"):
        read(names[::2], conditions, FakePose(), None)


def test_of_several_people_nobody_knows_who_is_meant(conditions, photos):
    class Crowd(FakePose):
        def of(self, picture):
            aside = torch.tensor([0.0, 10.0, 20.0])  # pixels
            points, boxes = KEYPOINTS.repeat(3, 1, 1), BOX.repeat(3, 1)
            points[..., 0], boxes[:, ::2] = points[..., 0] + aside[:, None], boxes[:, ::2] + aside[:, None]
            return People(points, boxes, torch.ones(3))

    with pytest.raises(BolidError, match=r"red\.png: 3 people; crop"):
        read([photos / "red.png"], conditions, Crowd(), None)


def test_without_a_condition_of_a_person_photos_cannot_be_read():
    with pytest.raises(BolidError, match="no condition that encodes photos"):
        BoLIDPipeline(None, {"pose": PoseCondition()}).identity(["x.png"])


def test_a_pose_is_read_off_a_photo_in_shares_of_its_size(photos):
    seen = []

    class Watched(FakePose):
        def people(self, pictures):
            seen.append(pictures)
            return super().people(pictures)

    found = pose_in(photos / "red.png", (120, 80), Watched())  # 100 x 80 pixels
    torch.testing.assert_close(found[:, 0] * 80, KEYPOINTS[:, 0])
    torch.testing.assert_close(found[:, 1] * 120, KEYPOINTS[:, 1])
    assert torch.equal(found[:, 2], torch.ones(17))
    middle = Image.open(photos / "red.png").crop((7, 0, 73, 100)).resize((80, 120), Image.Resampling.BICUBIC)
    shown = torch.from_numpy(np.array(middle)).permute(2, 0, 1)[None] / 255
    assert (seen[0] - shown).abs().mean() < 0.05  # cut, not squeezed: noise that is moved differs by a third
    with pytest.raises(BolidError, match="black"):
        pose_in(photos / "black.png", (120, 80), FakePose())


class HeadPose(FakePose):
    """Sees the head alone in photos that are mostly red, and the whole person in others."""

    def of(self, picture):
        points = ONE.keypoints.clone()
        points[:, 5:] *= float(picture.mean((1, 2)).argmax() != 0)
        return ONE._replace(keypoints=points)


def test_photos_of_a_head_make_an_identity_without_a_body(conditions, photos, caplog):
    seen = read([photos / "red.png"], conditions, HeadPose(), None)
    assert "body" not in seen
    assert "no photo shows a body" in caplog.text
    both = read([photos / "red.png", photos / "green.png"], conditions, HeadPose(), None)
    alone = read([photos / "green.png"], conditions, HeadPose(), None)
    assert torch.equal(both["body"].values, alone["body"].values)  # of the photos that show one
