"""Reading `.tflite` files, against the runtime they are made for, on small networks with random weights."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bolid.core.errors import BolidError
from bolid.vision.tflite import convert, densified, read_tflite, same_padding

pytest.importorskip("ai_edge_litert", reason="the original runtime is not installed: pip install ai-edge-litert")
from bolid.vision.fetch import read_files
from bolid.vision.networks import entry
from tests.vision.tflite_maker import SAME, VALID, Maker, answers, sparse_rows

RAW = os.environ.get("BOLID_RAW", "")  # a folder with the packages' own files, or the mediapipe wheel
RELU, RELU6 = 1, 3


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def check(data, size, channels=3, atol=1e-5):
    """The network read from a file and the original runtime agree on a random picture; returns the former."""
    picture = random(1, *size, channels, seed=9)
    network = read_tflite(data)
    found = network(torch.from_numpy(picture).permute(0, 3, 1, 2))
    expected = answers(data, picture)
    assert len(found) == len(expected)
    for out, truth in zip(found, expected, strict=True):
        np.testing.assert_allclose(out.numpy(), truth, atol=atol, rtol=1e-4)
    return network


@pytest.mark.parametrize("activation", [0, RELU, RELU6])
@pytest.mark.parametrize(("stride", "padding", "out"), [(1, SAME, (7, 10)), (2, SAME, (4, 5)), (2, VALID, (3, 4))])
def test_convolutions_pad_and_stride_as_the_runtime_does(stride, padding, out, activation):
    maker = Maker(7, 10)
    kernel, bias = maker.constant(random(4, 3, 3, 3)), maker.constant(random(4))
    x = maker.conv(maker.input, (1, *out, 4), kernel, bias, stride, padding, activation)
    deep, bias = maker.constant(random(1, 3, 3, 4)), maker.constant(random(4, seed=1))
    y = maker.conv(x, (1, *out, 4), deep, bias, name="DEPTHWISE_CONV_2D", activation=activation, depthMultiplier=1)
    network = check(maker.done(x, y), (7, 10))
    assert [n.op for n in network.layout.nodes] == ["convolution", "convolution"]
    assert network.layout.size == (7, 10)


def test_every_other_layer_is_the_runtimes():
    maker = Maker(4, 6, channels=8)
    relu = maker.add("RELU", [maker.input], (1, 4, 6, 8))
    added = maker.add("ADD", [relu, maker.input], (1, 4, 6, 8), "AddOptions", fusedActivationFunction=RELU6)
    amounts = maker.constant(np.array([[0, 0], [1, 0], [0, 2], [0, 1]], np.int32))
    padded = maker.add("PAD", [added, amounts], (1, 5, 8, 9), "PadOptions")
    pooling = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2, "padding": SAME}
    pooled = maker.add("MAX_POOL_2D", [added], (1, 2, 3, 8), "Pool2DOptions", **pooling)
    size = maker.constant(np.array([4, 6], np.int32))
    way = {"alignCorners": False, "halfPixelCenters": True}
    resized = maker.add("RESIZE_BILINEAR", [pooled, size], (1, 4, 6, 8), "ResizeBilinearOptions", **way)
    blocks = maker.add("DEPTH_TO_SPACE", [resized], (1, 8, 12, 2), "DepthToSpaceOptions", blockSize=2)
    flat = [
        maker.add("RESHAPE", [value, maker.constant(np.array([1, *rows], np.int32))], (1, *rows), "ReshapeOptions")
        for value, rows in ((blocks, (96, 2)), (added, (96, 2)))
    ]
    joined = maker.add("CONCATENATION", flat, (1, 192, 2), "ConcatenationOptions", axis=1)
    sure = maker.add("LOGISTIC", [joined], (1, 192, 2))
    check(maker.done(padded, pooled, resized, blocks, sure), (4, 6), channels=8)


def test_constants_in_half_precision_are_unpacked():
    maker = Maker(5, 5)
    kernel = maker.add("DEQUANTIZE", [maker.constant(random(2, 1, 1, 3).astype(np.float16))], (2, 1, 1, 3))
    bias = maker.add("DEQUANTIZE", [maker.constant(random(2).astype(np.float16))], (2,))
    x = maker.conv(maker.input, (1, 5, 5, 2), kernel, bias)
    network = check(maker.done(x), (5, 5))
    assert all(v.dtype == torch.float32 for v in network.state_dict().values())


def test_sparse_constants_are_made_dense():
    values = random(6, 9) * (random(6, 9, seed=1) > 0.5)
    stored, sparsity = sparse_rows(values)

    maker = Maker(4, 4)
    maker.tensor((6, 9), stored, sparsity)
    import tflite

    model = tflite.Model.GetRootAs(maker.done(maker.input), 0)
    found = model.Subgraphs(0).Tensors(1).Sparsity()
    np.testing.assert_array_equal(densified(stored, [6, 9], found), values)


def test_the_odd_pixel_of_a_padding_goes_to_the_right_and_bottom():
    assert same_padding([7, 10], [3, 3], [2, 2]) == [0, 1, 1, 1]
    assert same_padding([8, 8], [1, 1], [2, 2]) == [0, 0, 0, 0]  # never negative


def test_what_is_no_network_is_refused():
    maker = Maker(4, 4)
    data = maker.done(maker.add("TANH", [maker.input], (1, 4, 4, 3)))
    with pytest.raises(BolidError, match="TANH is not known"):
        read_tflite(data)
    for broken in (b"", b"\0" * 4, b"<html>not a network</html>", data[:4] + b"ONNX" + data[8:]):
        with pytest.raises(BolidError, match=r"not a \.tflite"):
            read_tflite(broken)


def test_truncated_files_are_refused():
    maker = Maker(4, 4)
    kernel, bias = maker.constant(random(2, 1, 1, 3)), maker.constant(random(2))
    data = maker.done(maker.conv(maker.input, (1, 4, 4, 2), kernel, bias))
    for length in range(8, len(data) - 64, 24):
        with pytest.raises(BolidError):
            read_tflite(data[:length])


def test_a_solutions_networks_go_into_one_file():
    maker = Maker(4, 4)
    data = maker.done(maker.add("RELU", [maker.input], (1, 4, 4, 3)))
    kernel, bias = maker.constant(random(2, 1, 1, 3)), maker.constant(random(2))
    other = maker.done(maker.conv(maker.input, (1, 4, 4, 2), kernel, bias))
    found = convert({"pose_detection.tflite": data, "pose_landmark_full.tflite": other})
    assert {k.split(".")[0] for k in found.weights} == {"landmarks"}  # the other has no weights
    assert set(found.metadata) == {"layouts"}


@pytest.mark.skipif(not RAW, reason="set BOLID_RAW to a folder of the packages' .tflite files")
@pytest.mark.parametrize("name", ["blazepose", "blazepose-heavy", "blazeface-short", "blazeface-full"])
def test_published_networks_answer_as_in_their_runtime(name):
    skimage = pytest.importorskip("skimage.data")
    import cv2

    for file, data in read_files(entry(name), Path(RAW)).items():
        network = read_tflite(data)
        side = network.layout.size[0]
        low = 0.0 if "landmark" in file else -1.0
        picture = cv2.resize(skimage.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
        picture = (picture.astype(np.float32) / 255 * (1 - low) + low)[None]
        with torch.no_grad():
            found = network(torch.from_numpy(picture).permute(0, 3, 1, 2))
        for out, truth in zip(found, answers(data, picture), strict=True):
            truth = torch.from_numpy(truth)
            if out.ndim == 4:  # logits of silhouette and heat maps, up to 1000, where float32 rounds by as much
                out, truth = out.sigmoid(), truth.sigmoid()
            torch.testing.assert_close(out, truth, atol=1e-3, rtol=1e-5)
