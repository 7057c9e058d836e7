"""A second network that is asked where the first finds nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from bolid.vision.found import People

if TYPE_CHECKING:
    from bolid.vision.blazepose import BlazePose
    from bolid.vision.movenet import MoveNet

SURE = 0.9  # on images without people BlazePose is up to .74 sure of somebody, on people mostly above .99


class SecondOpinion(nn.Module):
    """MoveNet, and BlazePose where MoveNet finds nobody: it sees close-ups of faces that MoveNet does not.

    Args:
        first: Is asked first.
        second: Is asked of images without anybody; of whom it is less than `SURE` does not count.

    Attributes:
        fingerprint: Of both.
    """

    def __init__(self, first: MoveNet, second: BlazePose) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.fingerprint = f"{first.fingerprint}\0blazepose {SURE}"

    def people(self, pictures: Tensor) -> list[People]:
        """Everybody in each of (B, 3, H, W) images in 0..1."""
        found = self.first.people(pictures)
        return [
            people if len(people.scores) else self._sure(picture)
            for people, picture in zip(found, pictures, strict=True)
        ]

    def _sure(self, picture: Tensor) -> People:
        people = self.second.people(picture[None])[0]
        return People(*(part[people.scores >= SURE] for part in people))
