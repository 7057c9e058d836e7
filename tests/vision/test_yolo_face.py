"""A YOLO face network in ONNX: a graph is made here that sees a face where three places of its picture are red."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bolid.core.errors import BolidError
from bolid.data.curate import networks
from bolid.vision.yolo_face import YoloFace

# Centre, width and height at 640 x 640; the second overlaps with the first.
BOXES = np.array([[100, 100, 80, 120], [104, 100, 80, 120], [500, 300, 60, 60]], np.float32)


@pytest.fixture
def weights(tmp_path):
    """Red at (100, 100), (104, 100) and (500, 300) are the scores of three faces."""
    nodes, scores = [], []
    for k, (x, y) in enumerate(BOXES[:, :2].astype(int)):
        ends = np.array([[0, 0, y, x], [1, 1, y + 1, x + 1], [0, 1, 2, 3]], np.int64)
        names = [f"start{k}", f"end{k}", f"axes{k}"]
        scores += [numpy_helper.from_array(values, name) for values, name in zip(ends, names, strict=True)]
        nodes.append(helper.make_node("Slice", ["images", *names], [f"pixel{k}"]))
        nodes.append(helper.make_node("Reshape", [f"pixel{k}", "one"], [f"score{k}"]))
    scores.append(numpy_helper.from_array(np.array([1, 1, 1], np.int64), "one"))
    scores.append(numpy_helper.from_array(BOXES.T[None].copy(), "boxes"))
    nodes.append(helper.make_node("Concat", ["score0", "score1", "score2"], ["scores"], axis=2))
    nodes.append(helper.make_node("Concat", ["boxes", "scores"], ["output0"], axis=1))
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 640, 640])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 5, 3])
    graph = helper.make_graph(nodes, "face", [picture], [output], scores)
    path = tmp_path / "face.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8), path)
    return path


def picture(*places, size=(1280, 960), colour=(255, 0, 0)):
    """Twice as large as the network sees it, with patches of one colour around places (x, y) in its pixels."""
    rgb = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y in places:
        rgb[2 * y - 3 : 2 * y + 5, 2 * x - 3 : 2 * x + 5] = colour
    return rgb


def test_boxes_are_in_the_photos_pixels_and_each_face_is_one(weights):
    shown = picture((100, 100), (500, 300)) + picture((104, 100), colour=(200, 0, 0))
    boxes, scores = YoloFace(weights).detect(shown)
    order = np.argsort(boxes[:, 0])
    np.testing.assert_allclose(boxes[order], [[120, 80, 280, 320], [940, 540, 1060, 660]], atol=1e-3)
    np.testing.assert_allclose(scores, 1, atol=1e-3)


def test_it_sees_red_green_blue_in_shares_of_one(weights):
    boxes, scores = YoloFace(weights).detect(picture((500, 300), colour=(128, 255, 255)))
    assert len(boxes) == 1
    assert scores[0] == pytest.approx(128 / 255, abs=2e-3)
    boxes, scores = YoloFace(weights).detect(picture((500, 300), colour=(0, 255, 255)))
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))


def test_curation_takes_it_by_its_path(weights):
    found = networks.load("faces", str(weights))(picture((500, 300)))
    assert (len(found.scores), found.keypoints.shape) == (1, (1, 17, 3))
    assert not found.keypoints.any()
    assert networks.fingerprint("faces", str(weights)) == networks.fingerprint("faces", str(weights.parent))


def test_what_is_no_face_detector_is_refused(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(BolidError, match="not a readable ONNX network"):
        YoloFace(tmp_path / "bad.onnx")
    picture_ = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 640, 640])
    output = helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 3, 640, 640])
    graph = helper.make_graph([helper.make_node("Relu", ["images"], ["output0"])], "none", [picture_], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8), tmp_path / "n.onnx")
    with pytest.raises(BolidError, match="not the five rows of a face detector"):
        YoloFace(tmp_path / "n.onnx").detect(picture())
