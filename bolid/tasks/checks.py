"""What of a task's losses cannot work, or would do nothing."""

from __future__ import annotations

from collections.abc import Mapping

from bolid.core.errors import BolidError
from bolid.losses.base import ImageLoss, Loss
from bolid.losses.x_gen import Estimator

RESERVED = ("diffusion", "loss")  # names in logs


def check_losses(losses: Mapping[str, Loss], x_gen: Estimator | None) -> None:
    """Losses have images to look at, of the pose that they compare with.

    Raises:
        BolidError: If one has not, or is named as another number in the logs.
    """
    for name, loss in losses.items():
        if name in RESERVED:
            raise BolidError(f"losses: {name!r} is the name of another number in the logs; choose another one")
        if not isinstance(loss, ImageLoss):
            continue
        if x_gen is None:
            raise BolidError(f"losses.{name} looks at images: set x_gen to OneStep or FewStep")
        if loss.needs_pose and not x_gen.shares_pose:
            raise BolidError(
                f"losses.{name} compares with the photo, and {type(x_gen).__name__} generates other poses: set x_gen "
                "to OneStep"
            )


def check_starts(losses: Mapping[str, Loss], max_steps: int) -> None:
    """Losses begin before the fit ends.

    Args:
        losses: By name.
        max_steps: Of the fit; -1 for as many as its epochs have.

    Raises:
        BolidError: If one does not.
    """
    for name, loss in losses.items():
        if 0 <= max_steps <= loss.start:
            raise BolidError(f"losses.{name} begins at step {loss.start}, and the fit ends at {max_steps}: lower start")
