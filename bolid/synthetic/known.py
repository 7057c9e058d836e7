"""What the renderer knows of its photos, in the typed fields that losses and metrics read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bolid.core.schema import ImageRecord
from bolid.synthetic.measures import Body, standardise
from bolid.synthetic.wording import attributes, shows_figure

OUTFIT = re.compile(r"(.*_\d+)[b-z]?\.png")
PERSON = re.compile(r"p(\d+)")


def with_known(records: Sequence[ImageRecord], bodies: Mapping[str, Body], pairs: bool = False) -> list[ImageRecord]:
    """Rendered photos' records with attributes, proportions, whole_figure, scene and, of pairs, group.

    Args:
        records: Of rendered photos.
        bodies: By identity, see `bolid.synthetic.measures.read_bodies`; who is absent has no known proportions.
        pairs: Whether an even number and the next are counterfactual pairs, photo by photo.
    """
    known = [r.identity for r in records if r.identity in bodies]
    people = list(dict.fromkeys(known))
    deviations = standardise([bodies[who] for who in people]).numpy() if people else ()
    proportions = dict(zip(people, deviations, strict=True))
    return [_with_known(r, proportions, pairs) for r in records]


def _with_known(record: ImageRecord, proportions: Mapping, pairs: bool) -> ImageRecord:
    return replace(
        record,
        attributes=attributes(record.caption),
        proportions=proportions.get(record.identity),
        whole_figure=shows_figure(record.caption),
        scene=scene(record.file_name),
        group=_pair(record) if pairs else "",
    )


def scene(file_name: str) -> str:
    """What a photo shows but for the outfit: `p000123_0` of `p000123_0b.png`."""
    outfit = OUTFIT.fullmatch(file_name)
    return outfit[1] if outfit else file_name


def _pair(record: ImageRecord) -> str:
    """The pair's number and the photo's: both of a pair are photographed in the same scenes."""
    person = PERSON.fullmatch(record.identity)
    photo = scene(record.file_name).rpartition("_")[2]
    return f"{int(person[1]) // 2}/{photo}" if person else ""
