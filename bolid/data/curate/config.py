"""The filters in order of cost, and their thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from bolid.data.curate.filters import (
    Body,
    Caption,
    Copies,
    Decodable,
    Exposure,
    Filter,
    Identity,
    People,
    Sharp,
    Size,
    Watermark,
)


@dataclass
class Filters:
    """The chain: each filter by its name, null to leave it out.

    Attributes:
        decodable: Whole files.
        size: Enough pixels.
        copies: No exact or near copy.
        exposure: Neither dark nor light.
        blurry: Sharp somewhere.
        people: Exactly one person.
        identity: That person.
        watermark: No watermark; null unless a network is given.
        body: Enough of the body.
        caption: A usable caption.
    """

    decodable: Decodable | None = field(default_factory=Decodable)
    size: Size | None = field(default_factory=Size)
    copies: Copies | None = field(default_factory=Copies)
    exposure: Exposure | None = field(default_factory=Exposure)
    blurry: Sharp | None = field(default_factory=Sharp)
    people: People | None = field(default_factory=People)
    identity: Identity | None = field(default_factory=Identity)
    watermark: Watermark | None = None
    body: Body | None = field(default_factory=Body)
    caption: Caption | None = field(default_factory=Caption)

    def __iter__(self) -> Iterator[Filter]:
        """The active filters, in order."""
        return (found for f in fields(self) if (found := getattr(self, f.name)) is not None)
