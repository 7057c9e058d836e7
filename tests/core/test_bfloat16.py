"""Who gets float32 in the place of bfloat16."""

import pytest
import torch
from timm.optim import Muon, muon

from bolid.core.bfloat16 import quick_precision


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
