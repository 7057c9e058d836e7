"""People and a window shared by the tests of the rendered world: the body model takes seconds to load."""

from __future__ import annotations

import pytest

from bolid.synthetic.people.identity import Person, make_person
from bolid.synthetic.people.photo import super_sampling
from bolid.synthetic.people.raster import Raster

SIZE = (96, 64)


@pytest.fixture(scope="session")
def raster() -> Raster:
    """A window for photos of `SIZE`."""
    over = super_sampling(SIZE[0])
    return Raster(SIZE[0] * over, SIZE[1] * over)


@pytest.fixture(scope="session")
def people() -> list[Person]:
    """Eight people."""
    return [make_person(seed) for seed in range(8)]
