"""Every file under `configs/` does what it is for: parses alone or on what it overlays, and builds."""

import re
import shlex

import pytest
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Trainer

from bolid.commands.training import Command
from bolid.synthetic.datamodule import RenderedPeople
from bolid.synthetic.render import RESERVED
from tests.plans import ROOT, all_planned
from tests.vision import blaze

# What users lay over one another, and no chain of experiments does.
CHAINS = [
    ["adapter.yaml"],
    ["adapter.yaml", "backbone/sd15.yaml"],
    ["adapter.yaml", "backbone/sdxl.yaml"],
    ["adapter.yaml", "data/folder.yaml"],
    ["adapter.yaml", "metrics/inception.yaml"],
    ["adapter.yaml", "trainer/cuda.yaml"],
    *(["adapter.yaml", f"losses/{loss}.yaml"] for loss in ("one_step", "few_step", "pixel", "style", "bones")),
    *(["adapter.yaml", f"experiment/{name}.yaml"] for name in ("slides", "image_prompt", "pose")),
    ["adapter.yaml", "backbone/sdxl.yaml", "data/folder.yaml", "trainer/cuda.yaml"],
    ["body_vae.yaml"],
    ["body_vae.yaml", "trainer/cuda.yaml"],
    ["body_vae.yaml", "tiny/body_vae_photos.yaml"],
    ["tiny/oracle.yaml"],
    ["adapter.yaml", "table/common.yaml", "table/guidance.yaml"],
    ["bundle/vae.yaml"],
    ["bundle/vae.yaml", "bundle/close_ups.yaml"],
    ["bundle/unet.yaml"],
    *([f"recipe/{name}.yaml"] for name in ("sd15", "sdxl", "ip_adapter", "photos_adapter", "photos_body_vae")),
]
# Published weights, which are not here; `test_recipes.py` and `test_cli.py` put miniatures in their place.
ABSENT = {"backbone/sd15.yaml", "backbone/sdxl.yaml", "metrics/inception.yaml"}
# Of sites and of filters, which no fit reads: `tests/data/collect` and `tests/data/curate` read them.
COLLECT = {
    p.relative_to(ROOT / "configs").as_posix()
    for p in (ROOT / "configs").glob("*/*.yaml")
    if p.parent.name in ("collect", "curate")
}
ABSENT |= {f"recipe/{name}.yaml" for name in ("sd15", "sdxl", "ip_adapter", "photos_adapter")}


def configs(names):
    return [word for name in names for word in ("--config", f"configs/{name}")]


def commands():
    """The options of every fit and test of the chains of experiments, without what no task or data depends on."""
    planned = [command for command in all_planned() if re.match(r"bolid (fit|test) ", command)]
    unseen = re.compile(r"^bolid \w+ | --(ckpt_path|trainer\.logger\.init_args\.version) \S+")
    return sorted({unseen.sub("", command) for command in planned})


class Made(Exception):
    """Carries a parser out of the command that made it."""


@pytest.fixture(scope="session")
def parse():
    """What `bolid fit` makes of options; making its parser anew for each would take as long again."""

    class Stopped(Command):
        def parse_arguments(self, parser, args):
            raise Made(parser)

    with pytest.raises(Made) as made:
        Stopped(["fit"])
    (parser,) = made.value.args

    def read(words):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            return parser, parser.parse_args(["fit", *words]).fit

    return read


@pytest.fixture(scope="session")
def built():
    """Settings of tasks and data that were built before: many commands differ in the trainer's alone."""
    return set()


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A working folder where what chains of experiments start from lies, of the same sizes."""
    (tmp_path / "runs/tiny/vae").mkdir(parents=True)
    for run in ("unet", "unet_more", "unet_opposites"):
        (tmp_path / "runs/tiny" / run).mkdir()
        (tmp_path / f"runs/tiny/{run}/stable-diffusion").symlink_to(ROOT / "data/tiny/stable-diffusion")
    for run in ("tiny/new", "world/new"):
        (tmp_path / "runs" / run).parent.mkdir(exist_ok=True)
        (tmp_path / "runs" / run).symlink_to(ROOT / "data/tiny/stable-diffusion")
    (tmp_path / "runs/tiny/vae/vae").symlink_to(ROOT / "data/tiny/stable-diffusion/vae")
    (tmp_path / "runs/body_ablation_600/body_supervised").mkdir(parents=True)
    (tmp_path / "runs/body_ablation_600/body_supervised/report.json").write_text('{"shape_r2": 0.5}')
    monkeypatch.setenv("BOLID_CACHE", str(blaze.in_cache(tmp_path / "cache")))  # in place of fetched networks
    monkeypatch.chdir(tmp_path)


def test_every_file_is_tested():
    used = {name for chain in CHAINS for name in chain} | set(re.findall(r"configs/(\S+)", " ".join(commands())))
    used |= {(ROOT / "configs" / name).resolve().relative_to(ROOT / "configs").as_posix() for name in used}  # aliases
    assert used == {p.relative_to(ROOT / "configs").as_posix() for p in (ROOT / "configs").rglob("*.yaml")} - COLLECT


@pytest.mark.parametrize("chain", CHAINS, ids="+".join)
def test_a_configuration_parses_and_builds_and_the_last_word_is_the_overlays(parse, built, trained, chain):
    parser, found = parse(configs(chain))
    check(yaml.safe_load((ROOT / "configs" / chain[-1]).read_text()), found.as_dict())
    if not ABSENT & set(chain):
        build(parser, found, built)


@pytest.mark.parametrize("command", commands(), ids=lambda c: "+".join(re.findall(r"configs/(\S+)\.yaml", c)))
def test_a_command_of_the_workflow_parses_and_builds(parse, built, trained, command):
    parser, found = parse(shlex.split(command))
    if re.fullmatch(r"(--config \S+ ?)+", command):  # else an option has the last word
        check(yaml.safe_load((ROOT / command.split()[-1]).read_text()), found.as_dict())
    build(parser, found, built)


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
        found = found["class_path"] if isinstance(found, dict) else str(found)  # a class may be named alone
        assert found == wanted or found.endswith("." + wanted.rpartition(".")[2])
    else:
        assert found == wanted


def build(parser, found, built):
    """Builds task, data and optimiser, unless they were already."""
    settings = repr((found.model, found.data))
    if settings in built:
        return
    built.add(settings)
    only = Namespace(fit=Namespace(model=found.model, data=found.data), subcommand="fit")
    parts = parser.instantiate_classes(only).fit
    assert type(parts.model).__name__ == found.model.class_path.rpartition(".")[2]
    if parts.model.trained_keys():  # else it is for tests alone
        parts.model.trainer = Trainer(max_steps=found.trainer.max_steps, logger=False, accelerator="cpu")
        optimizer = parts.model.configure_optimizers()
        assert optimizer["lr_scheduler"]["scheduler"].optimizer is optimizer["optimizer"]
    tested = parts.data.people["test"].numbers() if isinstance(parts.data, RenderedPeople) else ()
    assert all(person >= RESERVED for person in tested)


def test_on_cuda_every_device_trains_in_bfloat16(parse):
    for chain in (["adapter.yaml"], ["body_vae.yaml"], ["tiny/pose.yaml"]):
        trainer = parse(configs([*chain, "trainer/cuda.yaml"]))[1].trainer
        assert (trainer.accelerator, trainer.devices, trainer.precision) == ("cuda", "auto", "bf16-mixed")


def test_what_scores_has_seen_nobody_that_what_it_scores_has(parse):
    def people(*chain):
        data = parse(configs(chain))[1].data.init_args.rendered
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
