"""A fit goes on from the small file that its checkpoint was packed into."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from safetensors.torch import load_file
from timm.optim import Muon
from torch.utils.data import DataLoader

from bolid.bundle.autoencoder import AutoencoderSize, AutoencoderTask
from bolid.bundle.suspend import resume_fit, suspend_fit
from bolid.bundle.trapezoid import TrapezoidLR
from bolid.callbacks import EMA
from bolid.core.errors import BolidError
from tests import miniature
from tests.commands.quiet import quiet_trainer


@pytest.fixture
def fit(tmp_path):
    def run(folder, steps, resume=None, averaged=True):
        torch.manual_seed(0)
        task = AutoencoderTask(
            AutoencoderSize((8, 8)),
            optimizer=lambda weights: Muon(weights, lr=1e-3),
            scheduler=lambda optimizer: TrapezoidLR(optimizer, 8, warmup=2),
        )
        callbacks = [ModelCheckpoint(tmp_path / folder, save_last=True), *([EMA(0.9)] if averaged else [])]
        trainer = quiet_trainer(tmp_path, max_steps=steps, enable_checkpointing=True, callbacks=callbacks)
        trainer.fit(task, DataLoader([miniature.batch()] * 8, batch_size=None), ckpt_path=resume)
        return task, tmp_path / folder / "last.ckpt"

    return run


@pytest.mark.parametrize("averaged", [True, False])
def test_a_packed_fit_goes_on_at_its_step_with_its_weights(fit, tmp_path, averaged):
    task, last = fit("before", 4, averaged=averaged)
    assert suspend_fit(last, tmp_path / "packed.safetensors").startswith(f"{tmp_path}/packed.safetensors: step 4, ")
    packed = load_file(tmp_path / "packed.safetensors")
    assert {value.dtype for value in packed.values()} == {torch.float16}
    for name, value in packed.items():  # the average, which a fit leaves in place
        torch.testing.assert_close(value.float(), task.state_dict()[name], atol=1e-3, rtol=1e-3)
    assert (tmp_path / "packed.safetensors").stat().st_size < last.stat().st_size / 4
    assert str(tmp_path).encode() not in (tmp_path / "packed.safetensors").read_bytes()
    resume_fit(tmp_path / "packed.safetensors", tmp_path / "again.ckpt")
    again, _ = fit("again", 5, tmp_path / "again.ckpt", averaged)
    assert again.trainer.global_step == 5
    assert again.trainer.lr_scheduler_configs[0].scheduler.last_epoch == 5
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, task.state_dict()[name], atol=0.02, rtol=0)
    assert any(not torch.equal(value, task.state_dict()[name]) for name, value in again.state_dict().items())


def test_other_files_are_a_message(tmp_path):
    (tmp_path / "x").write_text("no weights")
    for file in ("x", "nowhere"):
        with pytest.raises(BolidError, match="was not packed by `bolid bundle suspend`"):
            resume_fit(tmp_path / file, tmp_path / "x.ckpt")
