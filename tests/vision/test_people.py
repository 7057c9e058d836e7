"""Whom a photo is of: by place, by size, by a face."""

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.core.safe_io import PictureError
from bolid.vision.found import People
from bolid.vision.people import LeftOut, Person, choose, find_person
from bolid.vision.second_opinion import SURE, SecondOpinion

PICTURE = Image.new("RGB", (300, 200))


def person(x, height=100, width=40, score=0.9, seen=17):
    points = np.zeros((17, 3), np.float32)
    points[:seen] = np.stack([np.full(seen, x), 20 + np.arange(seen) * height / 17, np.ones(seen)], 1)
    return Person(points, np.array([x - width / 2, 20, x + width / 2, 20 + height], np.float32), score)


LEFT, MIDDLE, RIGHT = person(40), person(150, 110), person(250)


@pytest.mark.parametrize(("whom", "wanted"), [("left", LEFT), ("largest", MIDDLE), ("right", RIGHT)])
def test_one_of_several_is_chosen_by_place_or_size(whom, wanted):
    assert choose([MIDDLE, RIGHT, LEFT], PICTURE, whom) is wanted


def test_several_are_refused_and_the_background_does_not_count():
    with pytest.raises(LeftOut, match="3 people; crop the photo"):
        choose([MIDDLE, RIGHT, LEFT], PICTURE)
    far = person(250, 50)
    unsure, few = person(40, score=0.2), person(40, seen=4)
    assert choose([MIDDLE, far, unsure, few, person(151, 109)], PICTURE) is MIDDLE


@pytest.mark.parametrize("people", [[], [person(40, seen=2)]])
def test_nobody_is_named(people):
    with pytest.raises(LeftOut, match="no person found"):
        choose(people, PICTURE)


class Faces:
    """Knows faces by where they are; sees none at `blind`."""

    fingerprint = ""

    def __init__(self, blind=()):
        self.blind = blind

    def embed(self, rgb, keypoints):
        x = keypoints[0, 0]
        return None if x in self.blind else np.array([np.cos(x / 50), np.sin(x / 50)], np.float32)


def face(x):
    return Faces().embed(None, np.full((17, 3), x))


@pytest.mark.parametrize("wanted", [LEFT, MIDDLE, RIGHT, person(250, 50)])
def test_who_has_the_face_is_chosen_even_in_the_background(wanted):
    others = [p for p in (LEFT, MIDDLE) if p is not wanted]
    found = choose([*others, wanted], PICTURE, face(wanted.keypoints[0, 0]), Faces())
    assert found is wanted


def test_nobody_with_the_face_is_somebody_else():
    with pytest.raises(LeftOut, match=r"1 people, and no face like the given one \(.* < 0.50\)"):
        choose([LEFT], PICTURE, face(250), Faces())
    with pytest.raises(LeftOut, match="2 people, and no usable face"):
        choose([LEFT, RIGHT], PICTURE, face(250), Faces(blind=(40, 250)))
    assert choose([LEFT], PICTURE, face(250), Faces(blind=(40,))) is LEFT  # from behind, and alone


class Network:
    """Finds some people in every picture."""

    fingerprint = "network"

    def __init__(self, *people):
        self.found = people

    def people(self, pictures):
        parts = [torch.tensor(np.array([p[k] for p in self.found])) for k in range(3)] if self.found else None
        none = People(torch.zeros(0, 17, 3), torch.zeros(0, 4), torch.zeros(0))
        return [none if parts is None else People(*parts) for _ in pictures]


def test_photos_of_any_size_are_answered_in_their_own_pixels():
    found = find_person(Image.new("RGB", (2560, 1280)), Network(MIDDLE), "a.png")
    np.testing.assert_allclose(found.box, MIDDLE.box * 2)
    np.testing.assert_allclose(found.keypoints, MIDDLE.keypoints * [2, 2, 1])
    with pytest.raises(PictureError, match=r"^a\.png: no person found"):
        find_person(PICTURE, Network(), "a.png")


class Opinion(SecondOpinion):
    """Of two networks that are none of torch's."""

    def __init__(self, first, second):
        torch.nn.Module.__init__(self)
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "second", second)


def test_a_second_network_is_asked_where_the_first_finds_nobody_and_must_be_sure():
    pictures = torch.zeros(2, 3, 8, 8)

    def scores(first, second):
        return [found.scores.tolist() for found in Opinion(Network(*first), Network(*second)).people(pictures)]

    sure, unsure = person(40, score=SURE), person(90, score=SURE - 0.01)
    assert scores([unsure], [sure]) == [pytest.approx([SURE - 0.01])] * 2
    assert scores([], [unsure, sure]) == [pytest.approx([SURE])] * 2
    assert scores([], [unsure]) == [[], []]
