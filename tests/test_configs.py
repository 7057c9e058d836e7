"""Every file under `configs/` does what it is for: parses alone or on what it overlays, and builds."""

from pathlib import Path

import pytest
import yaml
from lightning.pytorch.cli import LightningArgumentParser

from bolid.cli import main
from bolid.data.datamodule import IdentityDataModule
from bolid.synthetic.datamodule import RenderedPeople
from bolid.synthetic.render import RESERVED
from bolid.tasks.base import BaseTask

ROOT = Path(__file__).parents[1]
TINY = [
    ["tiny/vae.yaml"],
    ["tiny/unet.yaml"],
    ["tiny/unet.yaml", "tiny/unet_more.yaml"],
    ["tiny/unet.yaml", "tiny/unet_opposites.yaml"],
    ["tiny/clip_score.yaml"],
    ["tiny/clip_loss.yaml"],
    ["tiny/pose.yaml"],
    ["tiny/face.yaml"],
    ["tiny/attributes.yaml"],
    ["tiny/attributes.yaml", "tiny/attributes_loss.yaml"],
    ["tiny/anthropometer.yaml"],
    ["tiny/anthropometer.yaml", "tiny/anthropometer_loss.yaml"],
    ["tiny/oracle.yaml"],
    ["bundle/vae.yaml"],
    ["bundle/unet.yaml"],
    ["body_vae.yaml", "tiny/body_vae.yaml"],
    ["body_vae.yaml", "tiny/body_vae.yaml", "tiny/body_vae_more.yaml"],
    ["body_vae.yaml", "tiny/body_vae.yaml", "tiny/body_vae_more.yaml", "tiny/body_vae_whole.yaml"],
]
REAL = [
    ["adapter.yaml"],
    ["adapter.yaml", "backbone/sd15.yaml"],
    ["adapter.yaml", "backbone/sdxl.yaml"],
    ["adapter.yaml", "data/folder.yaml"],
    ["adapter.yaml", "metrics/inception.yaml"],
    ["adapter.yaml", "trainer/cuda.yaml"],
    ["adapter.yaml", "losses/one_step.yaml"],
    ["adapter.yaml", "losses/few_step.yaml"],
    ["adapter.yaml", "experiment/slides.yaml"],
    ["adapter.yaml", "experiment/image_prompt.yaml"],
    ["adapter.yaml", "experiment/pose.yaml"],
    ["adapter.yaml", "backbone/sdxl.yaml", "data/folder.yaml", "trainer/cuda.yaml"],
    ["adapter.yaml", "table/common.yaml"],
    ["adapter.yaml", "table/common.yaml", "table/plain.yaml"],
    *(
        ["adapter.yaml", "table/common.yaml", "table/plain.yaml", f"table/{way}.yaml"]
        for way in ("faces", "one_reference", "unguided")
    ),
    *(
        ["adapter.yaml", "losses/few_step.yaml", "table/common.yaml", "table/more.yaml", f"table/{fit}.yaml"]
        for fit in ("bodies", "held", "all")
    ),
    *(
        ["adapter.yaml", "losses/few_step.yaml", "table/common.yaml", "table/more.yaml", "table/all.yaml", way]
        for way in (
            "table/scales.yaml",
            "table/prior.yaml",
            "table/sheet.yaml",
            "table/one_reference.yaml",
            "table/unguided.yaml",
        )
    ),
    ["adapter.yaml", "table/common.yaml", "table/more.yaml"],
    *(
        ["adapter.yaml", f"losses/{path.name}", "table/common.yaml", "table/more.yaml"]
        for path in sorted((ROOT / "configs/losses").glob("*.yaml"))
    ),
    ["adapter.yaml", "experiment/image_prompt.yaml", "table/common.yaml", "table/image.yaml"],
    ["adapter.yaml", "table/common.yaml", "table/oracle.yaml"],
    ["adapter.yaml", "table/common.yaml", "table/distilled.yaml"],
    ["body_vae.yaml"],
    ["body_vae.yaml", "trainer/cuda.yaml"],
    *(
        ["body_vae.yaml", f"experiment/{path.name}"]
        for path in sorted((ROOT / "configs/experiment").glob("body_*.yaml"))
    ),
    ["bundle/vae.yaml", "bundle/close_ups.yaml"],
    ["tiny/unet_score.yaml"],
    ["tiny/unet_score.yaml", "tiny/words_score.yaml"],
]


@pytest.fixture
def merged(capsys):
    """What `bolid fit` makes of a chain of configurations."""

    def read(chain):
        words = [word for name in chain for word in ("--config", str(ROOT / "configs" / name))]
        with pytest.raises(SystemExit) as end:
            main(["fit", *words, "--print_config"])
        assert end.value.code in (0, None)
        return yaml.safe_load(capsys.readouterr().out)

    return read


def test_every_file_is_tested():
    chained = {name for chain in TINY + REAL for name in chain}
    assert chained == {p.relative_to(ROOT / "configs").as_posix() for p in (ROOT / "configs").rglob("*.yaml")}


@pytest.mark.parametrize("chain", TINY + REAL, ids="+".join)
def test_a_configuration_parses_and_the_last_word_is_the_overlays(merged, chain):
    found = merged(chain)
    assert found["model"]["class_path"]
    assert found["data"]["class_path"]
    check(yaml.safe_load((ROOT / "configs" / chain[-1]).read_text()), found)


def check(wanted, found):
    """Everything that a file says holds; defaults are filled in, and class names in full."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            if key.endswith("+"):  # is added to what lay below
                check(value, found[key[:-1]][-len(value) :])
            elif value is None:
                assert found.get(key) is None
            else:
                check(value, found[key])
    elif isinstance(wanted, list):
        assert len(wanted) == len(found)
        for pair in zip(wanted, found, strict=True):
            check(*pair)
    elif isinstance(wanted, str):
        found = found["class_path"] if isinstance(found, dict) else found  # a class may be named alone
        assert found == wanted or found.endswith("." + wanted.rpartition(".")[2])
    else:
        assert found == wanted


ABSENT = {"backbone/sd15.yaml", "backbone/sdxl.yaml", "metrics/inception.yaml"}  # published weights
HERE = [chain for chain in TINY + REAL if not ABSENT & set(chain)]


@pytest.mark.parametrize("chain", HERE, ids="+".join)
def test_a_configuration_can_be_built(merged, chain, tmp_path, monkeypatch):
    found = merged(chain)
    (tmp_path / "runs/tiny/vae").mkdir(parents=True)
    (tmp_path / "runs/tiny/new").symlink_to(ROOT / "data/tiny/stable-diffusion")  # of the same sizes, but trained
    (tmp_path / "runs/tiny/vae/vae").symlink_to(ROOT / "data/tiny/stable-diffusion/vae")
    (tmp_path / "runs/world").mkdir()
    (tmp_path / "runs/world/new").symlink_to(ROOT / "data/tiny/stable-diffusion")
    monkeypatch.chdir(tmp_path)
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(BaseTask, "model", subclass_mode=True)
    parser.add_lightning_class_args(IdentityDataModule, "data", subclass_mode=True)
    parts = parser.instantiate_classes(parser.parse_object({k: found[k] for k in ("model", "data")}))
    assert type(parts.model).__name__ == found["model"]["class_path"].rpartition(".")[2]
    if parts.model.trained_keys():  # else it is for tests alone
        optimizer = parts.model.configure_optimizers()
        assert optimizer["lr_scheduler"]["scheduler"].optimizer is optimizer["optimizer"]
    tested = parts.data.people["test"].numbers() if isinstance(parts.data, RenderedPeople) else ()
    assert all(person >= RESERVED for person in tested)


def test_on_cuda_every_device_trains_in_bfloat16(merged):
    for chain in (["adapter.yaml"], ["body_vae.yaml"], ["tiny/pose.yaml"]):
        trainer = merged([*chain, "trainer/cuda.yaml"])["trainer"]
        assert (trainer["accelerator"], trainer["devices"], trainer["precision"]) == ("cuda", "auto", "bf16-mixed")


def test_what_scores_has_seen_nobody_that_what_it_scores_has(merged):
    def people(*chain):
        data = merged(chain)["data"]["init_args"]["rendered"]
        train, val = data["train"], data["val"]
        first = train["first"], val["first"] or train["first"] + 90_000
        found = {k + i for k, people in zip(first, (train, val), strict=True) for i in range(people["people"])}
        assert max(found) < RESERVED
        return found

    judges = set().union(*(people(f"tiny/{name}.yaml") for name in ("attributes", "anthropometer", "clip_score")))
    for chain in (
        ["adapter.yaml"],
        ["body_vae.yaml", "tiny/body_vae.yaml", "tiny/body_vae_more.yaml"],
        ["tiny/vae.yaml"],
        ["bundle/vae.yaml"],
        ["bundle/unet.yaml"],
        ["tiny/unet.yaml"],
        ["tiny/unet.yaml", "tiny/unet_more.yaml"],
        ["tiny/unet.yaml", "tiny/unet_opposites.yaml"],
        ["tiny/clip_loss.yaml"],
        ["tiny/attributes.yaml", "tiny/attributes_loss.yaml"],
        ["tiny/anthropometer.yaml", "tiny/anthropometer_loss.yaml"],
        ["tiny/oracle.yaml"],
    ):
        assert judges.isdisjoint(people(*chain))
