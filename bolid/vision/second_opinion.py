"""A pose network that falls back to a second one where the first finds no person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from bolid.vision.found import People

if TYPE_CHECKING:
    from bolid.vision.blazepose import BlazePose
    from bolid.vision.movenet import MoveNet

SURE = 0.9  # minimum BlazePose score: up to .74 on images without people, mostly above .99 on people


class SecondOpinion(nn.Module):
    """MoveNet, and BlazePose where MoveNet finds no person: it detects close-ups of faces that MoveNet misses.

    Args:
        first: First network.
        second: Network for images in which the first finds no person, with a minimum score of `SURE`.

    Attributes:
        fingerprint: Fingerprint of both.
    """

    def __init__(self, first: MoveNet, second: BlazePose) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.fingerprint = f"{first.fingerprint}\0blazepose {SURE}"

    def people(self, pictures: Tensor) -> list[People]:
        """All people in each of (B, 3, H, W) images in 0..1."""
        found = self.first.people(pictures)
        return [
            people if len(people.scores) else self._sure(picture)
            for people, picture in zip(found, pictures, strict=True)
        ]

    def _sure(self, picture: Tensor) -> People:
        people = self.second.people(picture[None])[0]
        return People(*(part[people.scores >= SURE] for part in people))
