"""Where bfloat16 is slower than float32 on CPUs, float32 is taken.

Processors without instructions for it emulate it, many times slower. On others torch's attention is slower in it, up to
seven times on the way back (`benchmarks/attention.py`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch.utilities import rank_zero_warn
from timm.optim import muon
from torch import Tensor

_attention = F.scaled_dot_product_attention
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


def quick_attention() -> None:
    """From now on CPUs attend in float32; what comes out is still rounded to the queries' type."""
    F.scaled_dot_product_attention = _attend


def _attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *rest: Any, **more: Any
) -> Tensor:
    """`scaled_dot_product_attention`, see there."""
    if query.device.type != "cpu":
        return _attention(query, key, value, attn_mask, *rest, **more)
    fine = torch.promote_types(query.dtype, torch.float32)
    mask = attn_mask if attn_mask is None or attn_mask.dtype == torch.bool else attn_mask.to(fine)
    with torch.autocast("cpu", enabled=False):
        return _attention(query.to(fine), key.to(fine), value.to(fine), mask, *rest, **more).to(query.dtype)
