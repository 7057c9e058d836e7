"""Who gets float32 in the place of bfloat16."""

import pytest
import torch
import torch.nn.functional as F
from timm.optim import Muon, muon
from torch.utils.data import DataLoader

from bolid.core.errors import BolidError
from bolid.methods import Adapter
from bolid.models.noise import noised
from bolid.tasks.precision import PRECISIONS, check_precision, is_cpu, quick_attention, quick_precision
from bolid.tasks.precision import _attention as STOCK
from tests import miniature
from tests.commands.quiet import quiet_trainer
from tests.tasks.adapters import task as make_task


@pytest.fixture
def cpu_with(monkeypatch):
    """A machine of one CPU with some capabilities."""

    def given(**able):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
        monkeypatch.setattr(muon, "zeropower_via_newtonschulz", muon.zeropower_via_newtonschulz)

    return given


@pytest.mark.parametrize("able", [{"avx2": True, "avx512_bf16": False}, {"neon": True}])
def test_a_cpu_that_must_emulate_bfloat16_gets_float32(cpu_with, able):
    cpu_with(**able)
    assert quick_precision("bf16-mixed", is_cpu("auto")) == quick_precision("bf16-mixed", is_cpu("cpu")) == "32-true"
    assert quick_precision("bf16-mixed", is_cpu("cuda")) == "bf16-mixed"
    for other in ("32-true", "16-mixed"):
        assert quick_precision(other, on_cpu=True) == other


@pytest.mark.parametrize("able", [{"amx_bf16": True}, {"avx512_bf16": True}, {"bf16": True}])
def test_others_keep_what_was_asked_for(cpu_with, able, monkeypatch):
    cpu_with(**able)
    assert quick_precision("bf16-mixed", is_cpu("auto")) == "bf16-mixed"
    cpu_with()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert quick_precision("bf16-mixed", is_cpu("auto")) == "bf16-mixed"


@pytest.mark.parametrize(
    ("precision", "on_cpu", "frozen", "fits", "found"),
    [
        (None, True, "float32", True, "32-true"),
        (32, True, "bfloat16", True, "32-true"),
        ("bf16", True, "bfloat16", True, "bf16-mixed"),
        ("16", False, "float16", True, "16-mixed"),
        ("16-mixed", True, "float32", True, "16-mixed needs a GPU: CPUs do not compute in float16; take bf16-mixed"),
        ("bf16-true", False, "float32", True, "bf16-true would round what is trained, too; take bf16-mixed"),
        ("16-true", True, "float32", False, "16-true would round what is trained"),
        ("32-true", False, "float16", True, "gradients vanish in a backbone of dtype float16 under 32-true; take 16"),
        ("bf16-mixed", True, "float16", True, "bf16-mixed does not mix with a backbone of dtype float16"),
        ("bf16-mixed", False, "float16", False, "bf16-mixed does not mix with a backbone of dtype float16"),
    ],
)
def test_a_precision_does_or_is_refused_with_the_reason(precision, on_cpu, frozen, fits, found):
    if found in PRECISIONS:
        assert check_precision(precision, on_cpu, frozen, fits) == found
    else:
        with pytest.raises(BolidError, match=f"^trainer.precision: {found}"):
            check_precision(precision, on_cpu, frozen, fits)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_every_precision_trains_and_tests_a_backbone_of_every_type(
    folders, tmp_path, monkeypatch, family, dtype, precision
):
    monkeypatch.setattr("bolid.tasks.precision.emulated", lambda on_cpu: False)
    seen = []
    monkeypatch.setattr("bolid.tasks.adapter.noised", lambda *given: seen.extend(kept := noised(*given)) or kept)
    task = make_task(folders, family, dtype=dtype, chosen={"both": Adapter(["face", "body"])}, sampling={"steps": 1})
    photos = DataLoader([miniature.batch(2, references=1)], batch_size=None)
    trained = {name: p for name, p in task.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    run = quiet_trainer(tmp_path, precision=precision, max_steps=1)
    if dtype == "float16":
        with pytest.raises(BolidError, match=r"gradients vanish|does not mix"):
            run.fit(task, photos)
    else:
        run.fit(task, photos)
        assert any(not torch.equal(p, before[name]) for name, p in trained.items())
        assert {x.dtype for x in seen} == {torch.float32, torch.int64}  # latents with noise, the noise, timesteps
    assert {p.dtype for p in trained.values()} == {torch.float32}
    assert all(p.isfinite().all() for p in trained.values())
    assert task.backbone.vae.dtype == (torch.float32 if dtype == "float16" else getattr(torch, dtype))
    if (dtype, precision) == ("float16", "bf16-mixed"):
        with pytest.raises(BolidError, match="does not mix"):
            run.test(task, photos, verbose=False)
        return
    run.test(task, photos, verbose=False)
    assert all(image.isfinite().all() for row in task.report().rows for image in row.images.values())


def test_a_precision_is_refused_before_the_data_are_looked_at(folders, tmp_path):
    with pytest.raises(BolidError, match="bf16-true would round"):
        quiet_trainer(tmp_path, precision="bf16-true").fit(make_task(folders), None)


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
    quick_precision("bf16-mixed", on_cpu=True)
    coarse = stepped()
    cpu_with(avx2=True)
    quick_precision("32-true", on_cpu=True)
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
