"""Checks of devices."""

from __future__ import annotations

import torch

from bolid.core.errors import BolidError


def check_device(device: str) -> str:
    """Returns the device's name if it is usable.

    Raises:
        BolidError: If the device is not available; the message names those that are.
    """
    try:
        found = torch.device(device)
        if found.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BolidError(f"device={device!r} cannot be used ({reason}); here are {there}") from error
    return device
