"""A condition that starts a fit stronger: once, whatever is run afterwards."""

import pytest
import torch

from bolid.core.errors import BolidError
from bolid.methods import Adapter
from bolid.research.scaled_condition import ScaleCondition
from tests import miniature
from tests.commands.quiet import quiet_trainer as trainer
from tests.tasks.adapters import batches, save_models, task


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def checkpoint(folders, tmp_path):
    first, run = task(folders), trainer(tmp_path)
    run.fit(first, batches(2))
    run.save_checkpoint(tmp_path / "x.ckpt")
    return first, tmp_path / "x.ckpt"


def both():
    return {"body": Adapter(["body"]), "scaled": Adapter(["body"], scale=2.5)}


def still(params):
    return torch.optim.SGD(params, lr=0.0)


def values(t):
    return {n: p.detach().clone() for n, p in t.named_parameters() if "_v_ip.1" in n}


def test_it_does_what_a_larger_scale_would_and_leaves_the_rest(folders, checkpoint, tmp_path):
    first, path = checkpoint
    stronger = task(folders, chosen=both(), init_from=path, optimizer=still)
    trainer(tmp_path, callbacks=[ScaleCondition("body", 2.5)]).fit(stronger, batches(1))
    for name, value in first.named_parameters():
        scaled = 2.5 if "_v_ip.1" in name else 1.0
        assert torch.equal(stronger.get_parameter(name), scaled * value), name
    b, as_before = miniature.batch(), task(folders, chosen=both())
    as_before.load_state_dict(first.state_dict())
    expected = as_before.evaluator.generate("scaled", b)
    torch.testing.assert_close(stronger.evaluator.generate("body", b), expected, atol=1e-4, rtol=0)


def test_it_acts_once_in_a_process_and_never_where_a_fit_is_resumed_or_nothing_is_fitted(folders, checkpoint, tmp_path):
    first, path = checkpoint
    callback = ScaleCondition("body", 2.0)
    for command in ("validate", "test", "predict"):
        other = task(folders, init_from=path)
        getattr(trainer(tmp_path, callbacks=[callback]), command)(other, batches(1))
        assert all(torch.equal(v, first.get_parameter(n)) for n, v in values(other).items()), command
    twice = task(folders, init_from=path, optimizer=still)
    run = trainer(tmp_path, callbacks=[callback])
    run.fit(twice, batches(2))
    once = values(twice)
    assert all(torch.equal(v, 2 * first.get_parameter(n)) for n, v in once.items())
    run.save_checkpoint(tmp_path / "y.ckpt")
    trainer(tmp_path, callbacks=[callback]).fit(twice, batches(2))
    assert all(torch.equal(v, once[n]) for n, v in values(twice).items())
    resumed = task(folders, init_from=path, optimizer=still)
    again = trainer(tmp_path, callbacks=[ScaleCondition("body", 2.0)], max_steps=4)
    again.fit(resumed, batches(2), ckpt_path=tmp_path / "y.ckpt", weights_only=True)
    assert all(torch.equal(v, once[n]) for n, v in values(resumed).items())


def test_a_misspelt_condition_and_no_factor_are_refused(folders, tmp_path):
    with pytest.raises(BolidError, match="no condition is called bdoy; there are face, body"):
        trainer(tmp_path, callbacks=[ScaleCondition("bdoy", 2.0)]).fit(task(folders), batches(1))
    with pytest.raises(BolidError, match="factor=0 must be above 0"):
        ScaleCondition("body", 0)
