"""What is checked before anything is loaded."""

import pytest

from bolid.commands.training import check_weights
from bolid.core.errors import BolidError


def test_every_verb_but_fit_needs_weights():
    check_weights("fit", None, {})
    for verb in ("validate", "test", "predict"):
        check_weights(verb, "x.ckpt", {"init_from": None})
        check_weights(verb, None, {"init_from": "x.ckpt"})
        with pytest.raises(BolidError, match=rf"^{verb}: .*--ckpt_path runs/\.\.\./checkpoints/last\.ckpt"):
            check_weights(verb, None, {"init_from": None, "conditions": {"face": object(), "body": None}})


def test_only_a_test_does_with_what_was_exported_or_a_base_model():
    for task in ({"exported": "data/tiny/pose"}, {"conditions": {}}, {"conditions": {"face": None}}):
        check_weights("test", None, task)
        with pytest.raises(BolidError, match="which weights"):
            check_weights("validate", None, task)
    with pytest.raises(BolidError, match="or `exported`"):
        check_weights("test", None, {"exported": None})
