"""The benchmark of real photographs: what it asks is what it says."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("photos_benchmark", FOLDER / "photos.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(FOLDER))


def person(x, y):
    keypoints = np.zeros((17, 3))
    keypoints[:, 0], keypoints[:, 1] = x + np.arange(17) % 3 * 10, y + np.arange(17) * 10
    keypoints[:, 2] = 1
    return keypoints


def test_a_candidate_counts_for_one_person_only(benchmark):
    ann, bob = person(50, 50), person(200, 50)
    people = [(ann, 5000.0), (bob, 5000.0)]
    assert benchmark.matched(np.stack([bob, ann]), people) == [1, 1]
    assert benchmark.matched(np.stack([bob + np.array([2, 0, 0]), bob]), people) == [pytest.approx(0, abs=0.01), 1]
    assert benchmark.matched(np.zeros((0, 17, 3)), people) == [0, 0]


def test_the_pictures_without_people_are_the_same_on_every_run(benchmark):
    first, second = (list(benchmark.empty_pictures(2)) for _ in range(2))
    assert len({kind for kind, _ in first}) == 6
    assert benchmark.EMPTY_EACH * 6 >= 200
    for (kind, one), (_, other) in zip(first, second, strict=True):
        assert np.array_equal(np.array(one), np.array(other)), kind
    assert len({np.array(picture).tobytes() for _, picture in first}) == len(first)
