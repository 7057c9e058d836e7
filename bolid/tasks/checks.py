"""Checks for losses that cannot work or would have no effect."""

from __future__ import annotations

from collections.abc import Mapping

from bolid.core.errors import BolidError
from bolid.losses.base import ImageLoss, Loss
from bolid.losses.x_gen import Estimator

RESERVED = ("diffusion", "loss")  # names in logs


def check_losses(losses: Mapping[str, Loss], x_gen: Estimator | None) -> None:
    """Checks that image losses have an estimator of images, in the photo's pose where they compare with the photo.

    Raises:
        BolidError: If one has not, or its name is reserved in the logs.
    """
    for name, loss in losses.items():
        if name in RESERVED:
            raise BolidError(f"losses: the name {name!r} is reserved in the logs; choose another one")
        if not isinstance(loss, ImageLoss):
            continue
        if x_gen is None:
            raise BolidError(f"losses.{name} scores images: set x_gen to OneStep or FewStep")
        if loss.needs_pose and not x_gen.shares_pose:
            raise BolidError(
                f"losses.{name} compares with the photo, and {type(x_gen).__name__} generates other poses: set x_gen "
                "to OneStep"
            )


def check_starts(losses: Mapping[str, Loss], max_steps: int) -> None:
    """Checks that losses start before the fit ends.

    Args:
        losses: Losses by name.
        max_steps: The trainer's `max_steps`; -1 if epochs limit the fit.

    Raises:
        BolidError: If one does not.
    """
    for name, loss in losses.items():
        if 0 <= max_steps <= loss.start:
            raise BolidError(f"losses.{name} starts at step {loss.start}, and the fit ends at {max_steps}: lower start")
