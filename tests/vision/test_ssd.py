"""Anchors, decoding and suppression of single-shot detectors, by hand and against torchvision's."""

import pytest
import torch
from torchvision.ops import nms

from bolid.vision.ssd import Detections, SsdDetector, anchor_centres, decode, letterbox, suppress
from tests.vision import blaze


def test_anchors_are_as_many_as_the_networks_answer_with():
    assert anchor_centres(224, {8: 2, 16: 2, 32: 6}).shape == (2254, 2)
    assert anchor_centres(128, {8: 2, 16: 6}).shape == (896, 2)
    found = anchor_centres(192, {4: 1})
    assert found.shape == (2304, 2)
    torch.testing.assert_close(found[0], torch.tensor([0.5 / 48, 0.5 / 48]))
    torch.testing.assert_close(found[1], torch.tensor([1.5 / 48, 0.5 / 48]))  # along the row first


def test_boxes_and_points_are_relative_to_their_anchor():
    raw = torch.tensor([[2.0, -4.0, 20.0, 10.0, 1.0, 2.0, -3.0, 0.0]])
    boxes, points = decode(raw, torch.tensor([[0.5, 0.25]]), 100)
    assert boxes.tolist() == [[42.0, 16.0, 62.0, 26.0]]
    assert points.tolist() == [[[51.0, 27.0], [47.0, 25.0]]]


def test_overlapping_candidates_become_their_weighted_mean():
    boxes = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10], [50.0, 50, 60, 60]])
    points = torch.tensor([[[0.0, 0.0]], [[4.0, 8.0]], [[55.0, 55.0]]])
    found = suppress(Detections(boxes, points, torch.tensor([0.6, 0.9, 0.7])))
    assert found.scores.tolist() == pytest.approx([0.9, 0.7])  # the surest's, the surest first
    torch.testing.assert_close(found.boxes[0], torch.tensor([1.2, 0.0, 11.2, 10.0]))
    torch.testing.assert_close(found.points[0, 0], torch.tensor([2.4, 4.8]))
    torch.testing.assert_close(found.boxes[1], boxes[2])


def test_as_many_are_kept_as_by_torchvision():
    generator = torch.Generator().manual_seed(0)
    corner, extent = torch.rand(200, 2, generator=generator) * 100, torch.rand(200, 2, generator=generator) * 40 + 1
    boxes, scores = torch.cat([corner, corner + extent], 1), torch.rand(200, generator=generator)
    found = suppress(Detections(boxes, boxes.unflatten(1, (2, 2)), scores))
    torch.testing.assert_close(found.scores, scores[nms(boxes, scores, 0.3)])


def test_nothing_and_boxes_without_an_area_are_no_trouble():
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0, 6, 2), torch.zeros(0))
    assert [tuple(part.shape) for part in suppress(nothing)] == [(0, 4), (0, 6, 2), (0,)]
    points = Detections(torch.full((3, 4), 5.0), torch.zeros(3, 6, 2), torch.tensor([0.5, 0.6, 0.7]))
    assert len(suppress(points).scores) == 3


@pytest.mark.parametrize("size", [(40, 80), (90, 30), (16, 16)])
def test_a_place_in_the_square_is_the_same_place_in_the_picture(size):
    picture = torch.zeros(1, 3, *size)
    y, x = size[0] // 4, size[1] * 3 // 4
    picture[..., y - 2 : y + 2, x - 2 : x + 2] = 1
    boxed, scale, offset = letterbox(picture, 64)
    assert boxed.shape == (1, 3, 64, 64)
    line = torch.arange(64) + 0.5
    mass = boxed[0, 0]
    centre = torch.stack([(mass.sum(0) * line).sum(), (mass.sum(1) * line).sum()]) / mass.sum()
    torch.testing.assert_close((centre - offset) / scale, torch.tensor([float(x), float(y)]), atol=0.05, rtol=0)


def test_bytes_and_fractions_are_the_same_picture():
    picture = torch.randint(0, 256, (1, 3, 50, 70), dtype=torch.uint8)
    torch.testing.assert_close(letterbox(picture, 32)[0], letterbox(picture / 255, 32)[0], atol=2 / 255, rtol=0)


def test_a_detector_answers_in_pixels_of_each_picture():
    network = blaze.detector(128, 896, 16)
    found = SsdDetector(network, {8: 2, 16: 6}, min_score=0.0).find(torch.rand(2, 3, 60, 90))
    assert len(found) == 2
    for boxes, points, scores in found:
        assert boxes.shape == (len(scores), 4)
        assert points.shape == (len(scores), 6, 2)
        assert (scores[:-1] >= scores[1:]).all()
    assert not any(len(d.scores) for d in SsdDetector(network, {8: 2, 16: 6}, 1.1).find(torch.rand(2, 3, 60, 90)))
