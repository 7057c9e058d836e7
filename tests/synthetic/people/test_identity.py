"""Identities: functions of their seed, adult, natural, and twins where asked for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from bolid.synthetic.people.body import ADULT, body
from bolid.synthetic.people.identity import make_person
from bolid.synthetic.people.measure import z_score
from bolid.synthetic.people.photo import _family_head


def head_shape(person) -> np.ndarray:
    """Distances between points of the head: its shape wherever it stands."""
    return pdist(_family_head(person)[body().head > 0.99][::150])


def test_a_person_is_a_function_of_the_seed(people):
    again = make_person(3)
    assert again.phenotype == people[3].phenotype
    assert again.measures == people[3].measures
    assert np.array_equal(again.rest.vertices, people[3].rest.vertices)
    assert people[2].phenotype != people[3].phenotype


def test_people_are_adult_and_within_natural_ranges(people):
    for person in people:
        assert person.phenotype["age"] >= ADULT
        assert 1.45 < person.measures.stature < 2.02
        assert 16.5 < person.measures.bmi < 36


def test_twins_share_the_head_and_nothing_else():
    one, two, other = (make_person(seed, families=2) for seed in (40, 41, 42))
    assert one.family == two.family != other.family
    for trait in ("gender", "hair_name", "hair_style", "beard"):
        assert getattr(one, trait) == getattr(two, trait)
    assert np.array_equal(one.skin, two.skin)
    assert np.allclose(head_shape(one), head_shape(two), atol=1e-6)
    assert np.abs(head_shape(one) - head_shape(other)).max() > 2e-3
    assert abs(one.measures.waist - two.measures.waist) > 1e-4
    assert one.changes != two.changes


def test_opposites_share_all_but_the_body(people):
    pairs = [(one, make_person(one.seed + 1, opposites=True)) for one in people[::2]]
    assert make_person(6, opposites=True).measures == people[6].measures
    for one, two in pairs:
        for trait in ("family", "scenes", "gender", "hair_name", "hair_style", "beard", "head_changes"):
            assert getattr(one, trait) == getattr(two, trait)
        assert two.seed == one.seed + 1
        assert two.phenotype["age"] == one.phenotype["age"]
        assert 16.5 < two.measures.bmi < 36
    names = ("waist", "hip", "shoulder", "leg", "build")
    scores = [[[z_score(p.measures, name, p.gender) for name in names] for p in pair] for pair in pairs]
    assert np.corrcoef(np.array(scores)[:, 0].ravel(), np.array(scores)[:, 1].ravel())[0, 1] < -0.6
    twin = make_person(41, families=2, opposites=True)
    assert np.allclose(head_shape(make_person(40, families=2)), head_shape(twin), atol=1e-6)


def test_both_genders_and_many_looks():
    people = [make_person(seed) for seed in range(60, 90)]
    assert {p.gender for p in people} == {"woman", "man"}
    assert len({p.hair_style for p in people}) >= 5
    assert len({p.hair_name for p in people}) >= 3
    assert not any(p.beard for p in people if p.gender == "woman")


def test_left_and_right_change_alike(people):
    for name, value in people[0].changes.items():
        if name.startswith("l-"):
            assert value == pytest.approx(people[0].changes["r-" + name[2:]], abs=0.35)
