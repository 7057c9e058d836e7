"""Ground truth of rendered photos in the typed fields of `ImageRecord`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bolid.core.schema import ImageRecord
from bolid.synthetic.measures import Body, standardise
from bolid.synthetic.wording import attributes, shows_figure

OUTFIT = re.compile(r"(.*_\d+)[b-z]?\.png")
PERSON = re.compile(r"p(\d+)")


def with_known(
    records: Sequence[ImageRecord], bodies: Mapping[str, Body], pairs: bool = False, families: int = 0
) -> list[ImageRecord]:
    """Records of rendered photos with attributes, proportions, whole_figure, scene, group (pairs) and family.

    Args:
        records: Records of rendered photos.
        bodies: Bodies by identity, see `bolid.synthetic.measures.read_bodies`; proportions of absent people are
            unknown.
        pairs: Whether an even number and the next one are counterfactual pairs, photo by photo.
        families: Number of consecutive people who share head, skin and hair; 0 or 1 for none.
    """
    known = [r.identity for r in records if r.identity in bodies]
    people = list(dict.fromkeys(known))
    deviations = standardise([bodies[who] for who in people]).numpy() if people else ()
    proportions = dict(zip(people, deviations, strict=True))
    return [_with_known(r, proportions, pairs, families) for r in records]


def _with_known(record: ImageRecord, proportions: Mapping, pairs: bool, families: int) -> ImageRecord:
    person = PERSON.fullmatch(record.identity)
    number = int(person[1]) if person else 0
    photo = record.file_name.removesuffix(".png").rpartition("_")[
        2
    ]  # with its outfit: both of a pair are photographed in the same ones
    return replace(
        record,
        attributes=attributes(record.caption),
        proportions=proportions.get(record.identity),
        whole_figure=shows_figure(record.caption),
        scene=scene(record.file_name),
        group=f"{number // 2}/{photo}" if pairs else "",
        family=f"{number // families}" if families > 1 else "",
    )


def scene(file_name: str) -> str:
    """Key of a photo's scene, without the outfit: `p000123_0` of `p000123_0b.png`."""
    outfit = OUTFIT.fullmatch(file_name)
    return outfit[1] if outfit else file_name
