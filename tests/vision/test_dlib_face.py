"""dlib's recogniser as a torch module: against dlib itself where it is fetched, by its own rules where it is not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bolid.core.errors import BolidError
from bolid.vision.dlib_convert import convert
from bolid.vision.dlib_face import MEAN_FACE, DlibFace, DlibFaceNetwork, Residual, shrunk
from bolid.vision.networks import is_here
from tests.vision.vision_fakes import randomise

fetched = pytest.mark.skipif(not is_here("dlib-face"), reason="run `bolid networks get dlib-face`")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("dlib") / "dlib-face.safetensors"
    save_file(randomise(DlibFaceNetwork()).state_dict(), path)
    return path


def picture(size=150):
    """Three gradients that no symmetry hides anything of."""
    y, x = np.mgrid[:size, :size]
    return np.stack([y * 255 // (size - 1), x * 255 // (size - 1), (x + y) % 256], -1).astype(np.uint8)


def whole(value):
    """An integer as dlib writes it."""
    data = value.to_bytes((value.bit_length() + 7) // 8 or 1, "little")
    return bytes([len(data)]) + data


def layer(name, numbers, sides, leading=()):
    heads = b"".join(whole(value) for value in (*leading, 2, *sides))
    return bytes([len(name)]) + name.encode() + heads + numbers.astype("<f4").tobytes() + b"\x01\x00"


def serialised(network, factor, shift):
    """A network as dlib writes it, with batch norms that all have one factor and one shift."""
    data = b"\x01\x01"
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            numbers = np.concatenate([module.weight.detach().numpy().ravel(), module.bias.detach().numpy()])
            data += layer("con_4", numbers, (len(numbers), 1, 1, 1))
            affine = np.repeat([factor, shift], module.out_channels)
            data += layer("affine_", affine, (1, len(affine), 1, 1))
        elif isinstance(module, torch.nn.Linear):
            numbers = module.weight.detach().numpy().T
            data += layer("fc_2", numbers.ravel(), (*numbers.shape, 1, 1), leading=numbers.shape[::-1])
    return data


def test_the_file_of_dlib_becomes_the_same_weights_with_batch_norms_folded_in():
    network = randomise(DlibFaceNetwork())
    made = convert({"face.dat": serialised(network, 2.0, 0.5)}).weights
    state = network.state_dict()
    assert made.keys() == state.keys()
    for name, tensor in state.items():
        expected = tensor if name.startswith("numbers") else tensor * 2 + (0.5 if name.endswith("bias") else 0)
        torch.testing.assert_close(made[name], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("harm", [lambda d: d[:1000], lambda d: b"", lambda d: d.replace(b"fc_2", b"fc_3")])
def test_other_files_are_refused(harm):
    data = harm(serialised(DlibFaceNetwork(), 1.0, 0.0))
    with pytest.raises(BolidError, match=r"face\.dat is not dlib's face recogniser"):
        convert({"face.dat": data})


def test_blocks_that_shrink_keep_the_larger_map_and_pad_with_zeros():
    block = Residual(2, 3, halves=True)
    for weights in block.parameters():
        torch.nn.init.zeros_(weights)
    maps = torch.rand(1, 2, 8, 8)
    out = block(maps)  # the convolution gives 3 x 3, the mean of 2 x 2 cells gives 4 x 4
    assert out.shape == (1, 3, 4, 4)
    torch.testing.assert_close(out[:, :2], torch.nn.functional.avg_pool2d(maps, 2))
    assert out[:, 2].abs().sum() == 0


def coco(places, confidence=0.9):
    """Keypoints with the eye on the left, the other eye and the nose at places (3, 2)."""
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[[2, 1, 0], :2], keypoints[[2, 1, 0], 2] = places, confidence
    return keypoints


def test_eyes_and_nose_go_where_dlib_has_them(weights):
    face = DlibFace(weights)
    photo = np.zeros((400, 500, 3), np.uint8)
    places = np.array([[200, 150], [260, 150], [231, 184]])
    for x, y in places:
        photo[y - 2 : y + 3, x - 2 : x + 3] = 255
    aligned = face.align(photo, coco(places))
    assert aligned.shape == (150, 150, 3)
    for share in MEAN_FACE:
        x, y = np.round((share + 0.25) / 1.5 * 150).astype(int)
        assert aligned[y - 3 : y + 4, x - 3 : x + 4].max() > 200
    assert face.align(photo, coco(places, 0.1)) is None
    assert face.align(photo, coco(places / 20)) is None  # too small


def test_large_faces_are_averaged_and_not_sampled(weights):
    photo = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3)).astype(np.uint8)
    places = np.array([[300, 400], [900, 400], [600, 740]])
    small, points = shrunk(photo, coco(places))
    assert small.shape[0] < 300
    np.testing.assert_allclose(points[2, :2] / small.shape[0], places[0] / 1200, atol=1e-3)
    aligned = DlibFace(weights).align(photo, coco(places))
    assert aligned[40:110, 40:110].std() < 30  # of white noise sampled pixel by pixel: 74
    same, kept = shrunk(photo, coco(places / 10))
    assert same is photo
    assert (kept == coco(places / 10)).all()


def test_embeddings_have_length_one_and_gradients_reach_the_faces(weights):
    face = DlibFace(weights)
    found = face.embed_aligned([picture(), picture()[::-1].copy()])
    assert found.shape == (2, 128)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    faces = torch.rand(1, 3, 150, 150, requires_grad=True)
    face(faces).sum().backward()
    assert faces.grad.abs().sum() > 0
    assert not face.state_dict()


def test_other_weights_are_refused(tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BolidError, match="is not dlib's recogniser: run `bolid networks get dlib-face`"):
        DlibFace(tmp_path / "other.safetensors")


@fetched
def test_it_answers_as_dlib():
    """The reference is what dlib 20.0.1's `compute_face_descriptor` says of the same picture."""
    expected = json.loads((Path(__file__).parent / "dlib_reference.json").read_text())
    found = DlibFace()(torch.from_numpy(picture()).permute(2, 0, 1)[None] / 255)[0]
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-3)
