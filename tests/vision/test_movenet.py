"""MoveNet as a torch module: against the published runtime where it is fetched, against plain loops where it is not."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bolid.core.errors import BolidError
from bolid.vision.found import People, first_of
from bolid.vision.mobilenet import Same
from bolid.vision.movenet import MoveNet, MoveNetNetwork
from bolid.vision.movenet_convert import convert, published
from bolid.vision.movenet_decode import Found, Maps, decode
from bolid.vision.networks import is_here, network
from bolid.vision.pose import Pose
from tests.vision.vision_fakes import randomise

fetched = pytest.mark.skipif(not is_here("movenet"), reason="run `bolid networks get movenet`")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("movenet") / "movenet.safetensors"
    save_file(randomise(MoveNetNetwork()).state_dict(), path)
    return path


def maps(height=12, width=9, seed=0):
    """Random maps of two pictures with two distinct centres each, the first one's boxes in the middle."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(2, *shape, height, width, generator=generator)

    return Maps(random(1), random(2).abs() * 4, random(2), random(17), random(17, 2) * 2, random(17, 2))


def by_loops(found, picture, cell):
    """Keypoints, confidences' own heat and box of one candidate, cell by cell."""
    centre = found.centre[picture, 0]
    height, width = centre.shape
    row, column = divmod(cell, width)
    size = found.size[picture, :, row, column].clamp_min(0)
    middle = [(row, column)[k] + found.shift[picture, k, row, column].item() for k in (0, 1)]
    limits = (height, width)
    low = [min(max(middle[k] - size[k].item() / 2, 0), limits[k]) for k in (0, 1)]
    high = [min(max(middle[k] + size[k].item() / 2, 0), limits[k]) for k in (0, 1)]
    points = []
    for joint in range(17):
        best, place = 0.0, (0, 0)
        expected = [(row, column)[k] + found.regression[picture, joint, k, row, column].item() for k in (0, 1)]
        for y in range(height):
            for x in range(width):
                away = (y - expected[0]) ** 2 + (x - expected[1]) ** 2
                heat = math.exp(-away / (min(height, width) * 0.300048828125))
                heat *= torch.sigmoid(found.heat[picture, joint, y, x]).item()
                if low[0] <= y < high[0] and low[1] <= x < high[1] and heat > best:
                    best, place = heat, (y, x)
        offset = found.offset[picture, joint, :, place[0], place[1]]
        points.append(((place[1] + offset[1].item()) * 4, (place[0] + offset[0].item()) * 4))
    return points, [low[1] * 4, low[0] * 4, high[1] * 4, high[0] * 4]


def test_decoding_agrees_with_plain_loops():
    found = maps()
    read = decode(found)
    for picture in (0, 1):
        centre = torch.sigmoid(found.centre[picture, 0])
        best = centre.flatten().argmax().item()
        points, box = by_loops(found, picture, best)
        np.testing.assert_allclose(read.keypoints[picture, 0].numpy(), points, atol=1e-4)
        np.testing.assert_allclose(read.boxes[picture, 0].numpy(), box, atol=1e-4)
        counted = read.confidence[picture, 0][read.confidence[picture, 0] > 0.126953125]
        expected = centre.max() * (counted.mean() if len(counted) else 0)
        torch.testing.assert_close(read.scores[picture, 0], expected)


def test_gradients_reach_every_map():
    found = Maps(*(part.requires_grad_() for part in maps()))
    read = decode(found)
    (read.keypoints.sum() + read.boxes.sum() + read.scores.sum()).backward()
    assert all(part.grad.abs().sum() > 0 for part in found)


def test_a_stride_of_two_pads_as_tensorflow_does():
    padded = Same()(torch.ones(1, 1, 4, 6))
    assert padded.shape == (1, 1, 5, 7)
    assert padded[..., -1, :].abs().sum() == padded[..., -1].abs().sum() == 0


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (70, 50)])
def test_pictures_of_any_size_give_six_candidates_in_their_pixels(weights, size):
    pose = MoveNet(weights, image_size=64, close_ups=())
    pictures = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    found = pose.candidates(pictures, 64)
    assert found.keypoints.shape == (2, 6, 17, 2)
    assert (found.boxes <= torch.tensor([size[1], size[0]] * 2) * 1.5).all()
    larger = pose.candidates(torch.nn.functional.interpolate(pictures, scale_factor=2, mode="nearest"), 64)
    assert larger.keypoints.isfinite().all()


def test_it_is_a_module_with_gradients_to_the_picture_and_nothing_to_train(weights):
    pose = MoveNet(weights, image_size=64)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = pose(pictures)
    assert isinstance(found, Pose)
    assert found.keypoints.shape == (2, 17, 3)
    found.keypoints[..., :2].sum().backward()
    assert pictures.grad.abs().sum() > 0
    assert not list(pose.parameters())
    assert not pose.state_dict()
    assert len(pose.fingerprint) == 64


def told(monkeypatch, pose, scores, boxes):
    """Has a network see the same people at every size."""
    boxes = torch.tensor([boxes], dtype=torch.float32)
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    spread = torch.linspace(-0.4, 0.4, 17)[:, None] * (boxes[..., 2:] - boxes[..., :2])[:, :, None]
    keypoints = centres[:, :, None] + spread
    found = Found(keypoints, torch.full(keypoints.shape[:3], 0.9), boxes, torch.tensor([scores]))
    monkeypatch.setattr(pose, "candidates", lambda pictures, size: found)


def test_one_person_seen_at_several_sizes_is_one(weights, monkeypatch):
    pose = MoveNet(weights)
    told(monkeypatch, pose, [0.5, 0.6, 0.1], [[10, 10, 50, 90], [60, 10, 95, 95], [0, 0, 20, 20]])
    people = pose.people(torch.zeros(1, 3, 100, 100))[0]
    torch.testing.assert_close(people.scores, torch.tensor([0.6, 0.5]))
    assert people.keypoints.shape == (2, 17, 3)
    found = pose.estimate(torch.zeros(1, 3, 100, 100), count_others=True)
    assert found.others.tolist() == [1]
    torch.testing.assert_close(found.box[0], torch.tensor([60.0, 10, 95, 95]))
    assert pose.estimate(torch.zeros(1, 3, 100, 100)).others is None


def test_nobody_is_all_zeros(weights, monkeypatch):
    pose = MoveNet(weights)
    told(monkeypatch, pose, [0.1], [[10, 10, 50, 90]])
    found = pose.estimate(torch.zeros(1, 3, 100, 100), count_others=True)
    assert all(part.abs().sum() == 0 for part in found)
    assert found.keypoints.shape == (1, 17, 3)
    assert len(pose.people(torch.zeros(1, 3, 100, 100))[0].scores) == 0


@pytest.mark.parametrize(("heights", "count"), [([80, 40], 1), ([80, 39], 0), ([80], 0), ([80, 80, 10], 1)])
def test_only_people_of_some_size_are_counted_beside_the_first(heights, count):
    boxes = torch.tensor([[0.0, 0, 10, height] for height in heights])
    people = People(torch.zeros(len(boxes), 17, 3), boxes, torch.ones(len(boxes)))
    assert first_of([people], torch.zeros(1, 3, 9, 9), 0.3, True).others.tolist() == [count]


def published_files(state):
    """A state dict as the files that TensorFlow.js reads, in float16."""
    described, data = [], b""
    for name, tensor in state.items():
        depthwise = tensor.ndim == 4 and tensor.shape[1:] == (1, 3, 3)
        order = ((2, 3, 0, 1) if depthwise else (2, 3, 1, 0)) if tensor.ndim == 4 else range(tensor.ndim)
        array = tensor.permute(*order).numpy().astype(np.float16)
        quantization = {"dtype": "float16", "original_dtype": "float32"}
        described.append({"name": published(name), "shape": list(array.shape), "dtype": "float32"})
        described[-1]["quantization"] = quantization
        data += array.tobytes()
    model = {"weightsManifest": [{"paths": ["toy.bin"], "weights": described}]}
    return {"toy.json": json.dumps(model).encode(), "toy.bin": data}


def test_published_files_become_the_same_weights():
    state = randomise(MoveNetNetwork()).half().float().state_dict()
    assert len({published(name) for name in state}) == len(state)
    made = convert(published_files(state)).weights
    assert made.keys() == state.keys()
    assert all(torch.equal(made[name], state[name]) for name in state)


def test_other_files_are_refused():
    files = published_files({"backbone.stem.1.bias": torch.zeros(48)})
    with pytest.raises(BolidError, match="they are not MoveNet MultiPose"):
        convert(files)
    for broken in ({"toy.json": b"{}"}, {"toy.json": b"["}, {}, files | {"toy.bin": b""}):
        with pytest.raises(BolidError, match=r"not a TensorFlow\.js graph model"):
            convert(broken)


def test_mistakes_say_what_to_do(tmp_path, weights, monkeypatch):
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path))
    with pytest.raises(BolidError, match="movenet is not here: run `bolid networks get movenet`"):
        MoveNet()
    with pytest.raises(BolidError, match="multiples of 32"):
        MoveNet(weights, image_size=100)
    save_file({"w": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BolidError, match="is not MoveNet"):
        MoveNet(tmp_path / "other.safetensors")


@fetched
def test_it_answers_as_the_published_runtime():
    """The reference is what TensorFlow.js itself (on a CPU) says of ultralytics' picture of a bus at 256 x 192."""
    import ultralytics

    with Image.open(Path(ultralytics.__file__).parent / "assets/bus.jpg") as picture:
        pixels = np.array(picture.convert("RGB").resize((192, 256), Image.Resampling.BILINEAR))
    expected = np.array(json.loads((Path(__file__).parent / "movenet_bus.json").read_text())).reshape(6, 56)
    pose = MoveNet(network("movenet"))
    found = pose.candidates(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255, 256)
    points = expected[:, :51].reshape(6, 17, 3)
    sure = expected[:, 55] > 0.1  # of cells in which nobody is, the order is chance
    np.testing.assert_allclose(found.keypoints[0, sure].numpy() / [192, 256], points[sure][..., [1, 0]], atol=1e-3)
    np.testing.assert_allclose(found.confidence[0, sure].numpy(), points[sure][..., 2], atol=1e-3)
    np.testing.assert_allclose(found.scores[0].numpy(), expected[:, 55], atol=1e-3)
    boxes = found.boxes[0].numpy()[:, [1, 0, 3, 2]] / [256, 192, 256, 192]
    np.testing.assert_allclose(boxes[sure], expected[sure, 51:55], atol=1e-3)


@fetched
def test_the_gradient_moves_a_keypoint_where_a_loss_wants_it():
    import ultralytics

    with Image.open(Path(ultralytics.__file__).parent / "assets/bus.jpg") as picture:
        pixels = np.array(picture.convert("RGB").resize((192, 256), Image.Resampling.BILINEAR))
    pose = MoveNet(image_size=256)
    image = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255).requires_grad_()
    wrist = pose(image).keypoints[0, 9, :2].detach()
    for _ in range(12):
        away = (pose(image).keypoints[0, 9, :2] - (wrist + 6)).square().mean()
        (step,) = torch.autograd.grad(away, image)
        image = (image - 0.01 * step.sign()).clamp(0, 1).detach().requires_grad_()
    after = (pose(image).keypoints[0, 9, :2] - (wrist + 6)).square().mean()
    assert after < 36 / 2
