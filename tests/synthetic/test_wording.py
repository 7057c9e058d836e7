"""What metrics read in a caption is what the renderer meant by it."""

import re

import numpy as np
import pytest

from bolid.core.schema import compose_caption
from bolid.synthetic.people import garments, scene
from bolid.synthetic.people.captions import describe, level
from bolid.synthetic.people.measure import z_score
from bolid.synthetic.people.outfit import draw_outfit
from bolid.synthetic.people.photo import plan_photo
from bolid.synthetic.people.pose import POSES
from bolid.synthetic.wording import (
    ATTRIBUTES,
    BUILD,
    BUILDS,
    COLOURS,
    FRAMING,
    HEIGHT,
    OUTDOOR,
    PARTS,
    POSE,
    VIEW,
    WALLS,
    attributes,
    body_grades,
)


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
        assert found.pop("build") == BUILDS[level(z_score(person.measures, "build", person.gender))]
        assert found == expected
        for name, value in found.items():
            seen[name].add(value)
    assert {name: len(values) for name, values in seen.items()} == {n: len(v) for n, v in ATTRIBUTES.items()}


def test_what_is_left_open_is_absent():
    assert attributes("") == attributes("a photo of a person, with short red hair") == {}
    assert attributes("a photo of a person, in a field of wheat") == {"background": "field"}
    assert attributes("in a yellow field, in a yellow dress") == {"background": "field", "shirt": "yellow"}
    assert attributes("a photo of a man, short, stout") == {"gender": "man", "build": "heavy"}


@pytest.mark.parametrize("words", [w for words in [*OUTDOOR.values(), *POSE.values(), *VIEW.values()] for w in words])
def test_no_phrase_means_two_things(words):
    tables = [OUTDOOR, POSE, VIEW, FRAMING]
    assert sum(words in phrases for table in tables for phrases in table.values()) == 1
    assert not any(words in level for level in BUILD)
    assert not re.search(r", ", words)


def test_what_a_caption_says_of_a_body_as_numbers():
    said = "a photo of a man, very thin, tall, with broad shoulders, with short legs, standing"
    assert body_grades(said) == [-2, 1, 1.5, 0, 0, -1.5]
    assert body_grades("a photo of a woman, stout, of medium height, with a wide waist, with narrow hips") == [
        1, 0, 0, 1.5, -1.5, 0,
    ]  # fmt: skip
    assert body_grades("a photo of a person, standing") == [0] * 6
    words = {w for table in (*BUILD, *HEIGHT) for w in table} | {
        f"with {w}" for s in PARTS.values() for t in s for w in t
    }
    graded = [body_grades(word) for word in words if "average" not in word and "medium" not in word]
    assert all(sum(grade != 0 for grade in grades) == 1 for grades in graded)
