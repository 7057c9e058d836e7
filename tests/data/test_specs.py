import re
from dataclasses import replace

import pytest
import yaml
from jsonargparse import ArgumentParser

from bolid.core.errors import BolidError, causes
from bolid.data.caption_dropout import CaptionDropout
from bolid.data.datamodule import IdentityDataModule
from bolid.data.specs import ReferenceSpec, SplitSpec

PROMPTS = {
    "class_path": "bolid.data.datamodule.IdentityDataModule",
    "init_args": {
        "folder": "x", "size": [48, 32], "references": {"size": [48, 32]},
        "train": {"caption_dropout": {"body": 0.3, "all_body": 0.3}}, "test": {"max_targets": 4, "flip": 0.25},
    },
}  # fmt: skip


@pytest.fixture
def configured(tmp_path):
    """The data module of configuration files, the later over the earlier, and of options."""

    def read(*files, options=()):
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--config", action="config")
        parser.add_subclass_arguments(IdentityDataModule, "data")
        words = []
        for number, content in enumerate(files):
            path = tmp_path / f"{number}.yaml"
            path.write_text(yaml.safe_dump({"data": content}))
            words += ["--config", str(path)]
        return parser.instantiate(parser.parse_args([*words, *options])).data

    return read


def test_overlays_change_what_they_name_and_reset_nothing_else(configured):
    overlay = {"init_args": {"test": {"new_clothes": True}, "references": {"max": 1}}}
    inner = {"init_args": {"train": {"caption_dropout": {"body": 0.5}}}}
    data = configured(PROMPTS, overlay, inner, options=["--data.batch_size", "8", "--data.val.flip", "0.5"])
    assert data.references == ReferenceSpec((48, 32), max=1)
    dropout = CaptionDropout(body=0.5, all_body=0.3)
    assert data.specs == {
        "train": SplitSpec("frame", dropout, 0.5, second_outfit=False),
        "val": SplitSpec("frame", dropout, 0.5, second_outfit=False),
        "test": SplitSpec("frame", dropout, 0.25, None, 4, True, second_outfit=False),
    }
    assert (tuple(data.size), data.batch_size) == ((48, 32), 8)
    null = configured(PROMPTS, {"init_args": {"test": None}}).specs
    assert null["test"] == replace(null["train"], flip=0.0)


@pytest.mark.parametrize(("change", "message"), [
    ({"references": {"min": 5}}, "references.min=5 must lie between 0 and references.max=4"),
    ({"references": {"size": [0, 9]}}, r"references.size is \[0, 9\]"),
    ({"train": {"flip": 1.5}}, "flip is 1.5; a probability"),
    ({"train": {"caption_dropout": {"hair": -1}}}, "caption_dropout.hair is -1"),
    ({"train": {"samples_per_epoch": 0}}, "samples_per_epoch is 0; it must be 1 or more"),
    ({"train": {"max_targets": 2}}, "train.max_targets has no meaning; max_targets is a setting of val and test"),
    ({"val": {"probe": True}}, "val.probe has no meaning; probe is a setting of test"),
    ({"test": {"samples_per_epoch": 3}}, "test.samples_per_epoch has no meaning"),
    ({"batch_size": 0}, "batch_size=0"),
    ({"size": [10, 0]}, r"size is \[10, 0\]"),
])  # fmt: skip
def test_contradictions_are_told_before_anything_is_read(configured, change, message):
    with pytest.raises(Exception) as failed:
        configured(PROMPTS, {"init_args": change})
    told = next(e for e in causes(failed.value) if isinstance(e, BolidError))
    assert re.search(message, str(told))
