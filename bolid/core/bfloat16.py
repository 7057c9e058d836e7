"""Processors without instructions for bfloat16 emulate it, many times slower than float32: there float32 is taken."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from timm.optim import muon

NATIVE = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")  # capabilities of x86 and ARM processors


def emulated(accelerator: Any) -> bool:
    """Whether bfloat16 would be emulated: on a CPU that has none.

    Args:
        accelerator: Of a trainer; "auto" is the CPU where there is nothing else.
    """
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())
    able = torch.cpu.get_capabilities()
    return on_cpu and not any(able.get(name) for name in NATIVE)


def quick_precision(precision: Any, accelerator: Any) -> Any:
    """The trainer's precision asked for, or float32 in the place of bfloat16 that would be emulated.

    Muon, which knows only bfloat16, then orthogonalises in float32 too.
    """
    if not emulated(accelerator):
        return precision
    muon.zeropower_via_newtonschulz = partial(muon.zeropower_via_newtonschulz, dtype=torch.float32)
    if not str(precision).startswith("bf16"):
        return precision
    rank_zero_warn(f"precision: 32-true in the place of {precision}, since this CPU has no instructions for bfloat16")
    return "32-true"
