"""Captions: graded words by the constants, no names, phrases of known kinds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bolid.core.schema import BODY_KINDS, PHRASE_KINDS
from bolid.synthetic.measures import CALIBRATION
from bolid.synthetic.people.captions import RATIO, describe, level
from bolid.synthetic.people.garments import COLOURS
from bolid.synthetic.people.outfit import draw_outfit
from bolid.synthetic.people.photo import plan_photo
from bolid.synthetic.people.scene import WALLS
from bolid.synthetic.wording import BUILD, HEIGHT, OUTDOOR, PARTS


def caption(person, index: int = 0) -> dict[str, str]:
    plan = plan_photo(person, index, 0)
    rng = np.random.default_rng(index)
    phrases = describe(person, plan.pose, draw_outfit(rng, person.gender, True), plan.scene, rng)
    order = [PHRASE_KINDS.index(p.kind) for p in phrases]
    assert order == sorted(set(order))
    return {p.kind: p.text for p in phrases}


def with_scores(person, **scores: float):
    moved = {}
    for name, score in scores.items():
        mean, deviation = CALIBRATION[person.gender][name]
        moved[name] = mean + score * deviation
    return replace(person, measures=replace(person.measures, **moved))


def test_five_levels_split_the_population():
    share = np.bincount([level(z) for z in np.random.default_rng(0).normal(size=20_000)]) / 20_000
    assert np.allclose(share, [0.115, 0.218, 0.333, 0.218, 0.115], atol=0.015)


@pytest.mark.parametrize(("score", "grade"), [(-2, 0), (-0.8, 1), (0, 2), (0.8, 3), (2, 4)])
def test_words_follow_the_measures(people, score, grade):
    said = caption(with_scores(people[0], build=score, stature=score))
    assert said["build"] in BUILD[grade]
    assert said["height"] in HEIGHT[grade]


def test_parts_are_named_only_when_noticeable(people):
    for kind, (less, more) in PARTS.items():
        name = RATIO[kind]
        assert kind not in caption(with_scores(people[1], **{name: 0.3}))
        assert caption(with_scores(people[1], **{name: 1.5}))[kind].removeprefix("with ") in more
        assert caption(with_scores(people[1], **{name: -1.5}))[kind].removeprefix("with ") in less


def test_captions_name_what_is_there_and_nobody(people):
    for person in people:
        said = caption(person, index=person.seed % 4)
        assert said["gender"].endswith(f" {person.gender}")
        assert {"gender", "build", "height", "hair", "clothes", "pose", "view", "framing", "background"} <= set(said)
        assert any(colour in said["clothes"] for colour in COLOURS)
        assert "bald" in said["hair"] if person.hair_style == "bald" else person.hair_name in said["hair"]
        text = ", ".join(said.values())
        assert str(person.seed).zfill(6) not in text
        assert not any(word in text.split() for word in ("left", "right"))  # flips would make them wrong


def test_wordings_vary_and_colours_are_independent(people):
    said = [caption(people[2], i) for i in range(24)]
    assert len({s["gender"] for s in said}) > 1
    assert len({s["clothes"] for s in said}) > 15
    outfits = [draw_outfit(np.random.default_rng(i), "man", False).colours for i in range(600)]
    first, second = np.array([[list(COLOURS).index(c) for c in pair] for pair in outfits]).T
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    assert set(first) == set(second) == set(range(len(COLOURS)))
    assert len(COLOURS) >= 8
    assert len(WALLS) + len(OUTDOOR) >= 6


def test_skirts_only_where_legs_hang():
    for seed in range(200):
        outfit = draw_outfit(np.random.default_rng(seed), "woman", upright=False)
        assert not outfit.upper.skirt
        assert not outfit.bottom.skirt
    assert any(draw_outfit(np.random.default_rng(s), "woman", upright=True).upper.skirt for s in range(50))
    men = [draw_outfit(np.random.default_rng(s), "man", upright=True) for s in range(200)]
    assert not any(o.bottom is None or o.bottom.skirt for o in men)


def test_body_kinds_match_the_schema():
    assert {"build", "height", *PARTS} == set(BODY_KINDS)
