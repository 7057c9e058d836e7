"""Who gets float32 in the place of bfloat16."""

import pytest
import torch
import torch.nn.functional as F
from timm.optim import Muon, muon

from bolid.tasks.precision import _attention as STOCK
from bolid.tasks.precision import quick_attention, quick_precision


@pytest.fixture
def cpu_with(monkeypatch):
    """A machine of one CPU with some capabilities."""

    def given(**able):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
        monkeypatch.setattr(muon, "zeropower_via_newtonschulz", muon.zeropower_via_newtonschulz)

    return given


@pytest.mark.filterwarnings("ignore:precision")
@pytest.mark.parametrize("able", [{"avx2": True, "avx512_bf16": False}, {"neon": True}])
def test_a_cpu_that_must_emulate_bfloat16_gets_float32(cpu_with, able):
    cpu_with(**able)
    assert quick_precision("bf16-mixed", "auto") == quick_precision("bf16-true", "cpu") == "32-true"
    assert quick_precision("bf16-mixed", "cuda") == "bf16-mixed"
    for other in ("32-true", "16-mixed", None):
        assert quick_precision(other, "auto") == other


@pytest.mark.parametrize("able", [{"amx_bf16": True}, {"avx512_bf16": True}, {"bf16": True}])
def test_others_keep_what_was_asked_for(cpu_with, able, monkeypatch):
    cpu_with(**able)
    assert quick_precision("bf16-mixed", "auto") == "bf16-mixed"
    cpu_with()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert quick_precision("bf16-mixed", "auto") == "bf16-mixed"


def test_muon_orthogonalises_in_float32_there(cpu_with):
    """Of the same gradient it says nearly the same."""

    def stepped():
        weight = torch.nn.Parameter(torch.zeros(6, 4))
        weight.grad = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
        Muon([weight], lr=1.0, adjust_lr_fn=None).step()
        return weight.detach()

    def rounded(update):
        return torch.equal(update, update.bfloat16().float())

    cpu_with(amx_bf16=True)
    quick_precision("bf16-mixed", "auto")
    coarse = stepped()
    cpu_with(avx2=True)
    quick_precision("32-true", "auto")
    fine = stepped()
    assert rounded(coarse)
    assert not rounded(fine)
    torch.testing.assert_close(fine, coarse, atol=0.03, rtol=0)


@pytest.fixture
def both(monkeypatch):
    """torch's own attention and the quick one."""
    monkeypatch.setattr(F, "scaled_dot_product_attention", STOCK)  # an earlier test's command may have replaced it
    quick_attention()
    return STOCK, F.scaled_dot_product_attention


@pytest.mark.parametrize(
    "mask", [None, torch.arange(35).view(1, 1, 5, 7) % 3 > 0, torch.linspace(-2, 2, 35).view(1, 1, 5, 7)]
)
def test_attention_is_exact_to_the_last_bit_of_bfloat16(both, mask):
    stock, quick = both
    q, k, v = (torch.randn(2, 3, n, 8).bfloat16() for n in (5, 7, 7))
    exact = stock(
        q.double(), k.double(), v.double(), mask if mask is None or mask.dtype == torch.bool else mask.double()
    )
    found = quick(q, k, v, mask)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-5)


def test_autocast_does_not_round_what_attention_is_given(both):
    stock, quick = both
    q, k, v = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (5, 7, 7))
    with torch.autocast("cpu", torch.bfloat16):
        assert stock(q, k, v).dtype == torch.bfloat16
        found = quick(q, k, v)
    assert torch.equal(found, stock(q, k, v))
    found.sum().backward()
    assert q.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_types_attend_as_ever(both, dtype):
    stock, quick = both
    q, k, v = (torch.randn(2, 3, n, 8, dtype=dtype) for n in (5, 7, 7))
    assert torch.equal(quick(q, k, v, is_causal=True), stock(q, k, v, is_causal=True))
