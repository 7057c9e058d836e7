"""What metrics read in a caption is what the renderer meant by it."""

import re

import numpy as np
import pytest

from bolid.core.schema import compose_caption
from bolid.core.wording import ATTRIBUTES, BUILD, COLOURS, FRAMING, OUTDOOR, POSE, VIEW, WALLS, attributes, build_level
from bolid.data.people import garments, scene
from bolid.data.people.captions import describe, level
from bolid.data.people.measure import z_score
from bolid.data.people.outfit import draw_outfit
from bolid.data.people.photo import plan_photo
from bolid.data.people.pose import POSES


def test_the_vocabulary_is_the_renderers():
    assert tuple(garments.COLOURS) == COLOURS
    assert tuple(scene.WALLS) == WALLS
    assert tuple(scene.VIEWS) == tuple(VIEW)
    assert tuple(scene.SHOWN) == tuple(FRAMING)
    assert tuple(POSES) == tuple(POSE)


def test_what_is_drawn_is_what_is_read(people):
    """Poses, outfits and scenes in every combination the lot makes of 400 photos."""
    seen = {name: set() for name in ATTRIBUTES}
    for index in range(400):
        person = people[index % 7]
        rng, plan = np.random.default_rng(index), plan_photo(person, index, 0)
        outfit = draw_outfit(rng, person.gender, POSES[plan.pose].upright)
        caption = compose_caption(describe(person, plan.pose, outfit, plan.scene, rng))
        expected = {
            "gender": person.gender,
            "shirt": outfit.colours[0],
            "pose": plan.pose,
            "view": plan.scene.view,
            "framing": plan.scene.framing,
            "background": plan.scene.background + ("" if plan.scene.outdoor else " wall"),
        }
        if outfit.bottom is not None and plan.scene.framing != "head and shoulders":
            expected["trousers"] = outfit.colours[1]
        found = attributes(caption)
        assert found == expected
        assert build_level(caption) == level(z_score(person.measures, "build", person.gender))
        for name, value in found.items():
            seen[name].add(value)
    assert {name: len(values) for name, values in seen.items()} == {n: len(v) for n, v in ATTRIBUTES.items()}


def test_what_is_left_open_is_absent():
    assert attributes("") == attributes("a photo of a person, with short red hair") == {}
    assert attributes("a photo of a person, in a field of wheat") == {"background": "field"}
    assert attributes("in a yellow field, in a yellow dress") == {"background": "field", "shirt": "yellow"}
    assert build_level("a photo of a man, short") is None


@pytest.mark.parametrize("words", [w for words in [*OUTDOOR.values(), *POSE.values(), *VIEW.values()] for w in words])
def test_no_phrase_means_two_things(words):
    tables = [OUTDOOR, POSE, VIEW, FRAMING]
    assert sum(words in phrases for table in tables for phrases in table.values()) == 1
    assert not any(words in level for level in BUILD)
    assert not re.search(r", ", words)
