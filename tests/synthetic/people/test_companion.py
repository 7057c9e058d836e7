"""Photos of two people: only one of them is the photo's person."""

from __future__ import annotations

import numpy as np
import pytest

from bolid.core.schema import compose_caption
from bolid.data.caption_dropout import swap_sides
from bolid.data.manifest import read_manifest
from bolid.synthetic.people import render_people
from bolid.synthetic.people.photo import plan_photo, render_photos
from bolid.synthetic.wording import attributes, body_grades
from tests.synthetic.conftest import SIZE


@pytest.fixture(scope="module")
def pairs(people, raster):
    """(with a companion, the plan) of eight photos of full length."""
    return [
        (
            render_photos(person, [0], raster, SIZE, 0, "full length", companions=1.0)[0][0],
            plan_photo(person, 0, 0, "full length", 1.0),
        )
        for person in people
    ]


def test_a_companion_stands_where_the_caption_says_and_is_not_of_the_mask(pairs, people, raster):
    for (both, plan), person in zip(pairs, people, strict=True):
        (words,) = (p.text for p in both.phrases if p.kind == "companion")
        assert words.endswith(f" on the {plan.companion.side}")
        columns = np.flatnonzero(both.mask.max(0) > 127)
        middle = both.keypoints[both.keypoints[:, 2] > 0, 0].mean()
        assert columns[0] - 1 <= middle <= columns[-1] + 1
        assert (middle < SIZE[1] / 2) == (plan.companion.side == "right")
        alone = render_photos(person, [0], raster, SIZE, 0, "full length")[0][0]
        assert [p for p in both.phrases if p.kind != "companion"] == alone.phrases
        of_two, of_one = (compose_caption(photo.phrases) for photo in (both, alone))
        assert (attributes(of_two), body_grades(of_two)) == (attributes(of_one), body_grades(of_one))
        assert 0.65 < both.mask.mean() / alone.mask.mean() < 1.1  # cut or hidden a little, never of two


def test_a_mirror_moves_the_companion_to_the_other_side(pairs):
    words = next(p.text for p in pairs[0][0].phrases if p.kind == "companion")
    side = pairs[0][1].companion.side
    assert swap_sides(words).endswith({"left": "right", "right": "left"}[side])


def test_a_share_of_whole_figures_has_one_and_no_other_photo_changes(people):
    plans = {share: [plan_photo(p, i, 0, "mixed", share) for p in people for i in range(40)] for share in (0, 0.25)}
    assert all(plan.companion is None for plan in plans[0])
    with_one = [plan for plan in plans[0.25] if plan.companion]
    assert {plan.scene.framing for plan in with_one} == {"full length"}
    whole = [plan for plan in plans[0.25] if plan.scene.framing == "full length"]
    assert len(with_one) / len(whole) == pytest.approx(0.25, abs=0.1)
    for plain, plan in zip(plans[0], plans[0.25], strict=True):
        assert (plain.pose, plain.scene.background) == (plan.pose, plan.scene.background)
        np.testing.assert_array_equal(plain.rotations, plan.rotations)


def test_people_with_and_without_companions_share_a_folder(tmp_path):
    small = {"photos": 1, "height": 48, "width": 32, "workers": 1, "framing": "full length"}
    render_people(tmp_path, range(2), **small)
    render_people(tmp_path, range(2, 4), companions=1.0, **small)
    said = {r.identity: [p.kind for p in r.phrases].count("companion") for r in read_manifest(tmp_path)}
    assert said == {"p000000": 0, "p000001": 0, "p000002": 1, "p000003": 1}
    assert {r.whole_figure for r in read_manifest(tmp_path) if said[r.identity]} == {False}
