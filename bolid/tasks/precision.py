"""Replaces bfloat16 by float32 on CPUs where it is slower.

Processors without instructions for it emulate it, many times slower. On others torch's attention is slower in it, up to
seven times in the backward pass (`benchmarks/attention.py`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_info
from timm.optim import muon
from torch import Tensor

from bolid.core.errors import BolidError

_attention, _orthogonalise = F.scaled_dot_product_attention, muon.zeropower_via_newtonschulz
NATIVE = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")  # capabilities of x86 and ARM processors


PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
ALIASES = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed", "64": "64-true", "None": "32-true"}


def emulated(on_cpu: bool) -> bool:
    """Whether bfloat16 would be emulated: on a CPU that has no instructions for it."""
    able = torch.cpu.get_capabilities()
    return on_cpu and not any(able.get(name) for name in NATIVE)


def is_cpu(accelerator: Any) -> bool:
    """Whether a trainer's accelerator is the CPU; "auto" is the CPU if there is no other device."""
    return accelerator == "cpu" or (accelerator == "auto" and not torch.accelerator.is_available())


def check_precision(precision: Any, on_cpu: bool, frozen: str = "float32", fits: bool = False) -> str:
    """The full name of a trainer's precision, if trained weights stay float32 and nothing overflows.

    Args:
        precision: As Lightning's `Trainer` takes it.
        on_cpu: Whether the device is the CPU.
        frozen: Dtype of the frozen backbone's weights.
        fits: Whether the command is a fit.

    Raises:
        BolidError: If the precision is unsuitable; the message names another.
    """
    name = ALIASES.get(str(precision), str(precision))
    if name not in PRECISIONS:
        raise BolidError(
            f"trainer.precision: {name} would round what is trained, too; take bf16-mixed and, to save memory, "
            "a backbone of dtype bfloat16"
        )
    if name == "16-mixed" and on_cpu:
        raise BolidError("trainer.precision: 16-mixed needs a GPU: CPUs do not compute in float16; take bf16-mixed")
    if frozen == "float16" and name == "bf16-mixed":
        raise BolidError(
            "trainer.precision: bf16-mixed does not mix with a backbone of dtype float16; take 32-true (16-mixed to "
            "train, on a GPU), or dtype bfloat16"
        )
    if fits and frozen == "float16" and name != "16-mixed":
        raise BolidError(
            f"trainer.precision: gradients vanish in a backbone of dtype float16 under {name}; take 16-mixed, which "
            "scales them, or dtype bfloat16"
        )
    return name


def quick_precision(precision: str, on_cpu: bool) -> str:
    """The given precision, or float32 instead of an emulated bfloat16.

    Muon, which knows only bfloat16, then orthogonalises in float32 too.
    """
    slow = emulated(on_cpu)
    muon.zeropower_via_newtonschulz = partial(_orthogonalise, dtype=torch.float32) if slow else _orthogonalise
    if not slow:
        return precision
    if not precision.startswith("bf16"):
        return precision
    rank_zero_info(f"precision: 32-true instead of {precision}, since this CPU has no instructions for bfloat16")
    return "32-true"


def quick_attention() -> None:
    """Makes torch's attention on CPUs compute in float32; the output is still rounded to the queries' dtype."""
    F.scaled_dot_product_attention = _attend


def _attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *rest: Any, **more: Any
) -> Tensor:
    """See `torch.nn.functional.scaled_dot_product_attention`."""
    if query.device.type != "cpu":
        return _attention(query, key, value, attn_mask, *rest, **more)
    fine = torch.promote_types(query.dtype, torch.float32)
    mask = attn_mask if attn_mask is None or attn_mask.dtype == torch.bool else attn_mask.to(fine)
    with torch.autocast("cpu", enabled=False):
        return _attention(query.to(fine), key.to(fine), value.to(fine), mask, *rest, **more).to(query.dtype)
