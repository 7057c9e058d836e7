"""The chains of experiments: which commands a target runs, in which order, and what is not run again."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SNAKEFILE = ROOT / "workflow/Snakefile"

# Stands in for `bolid`: notes its words, leaves what the real one leaves, and dies once in the fit of `held`.
STUB = """#!/bin/bash
echo "$@" >> calls
run=runs/table/$(grep -oP '(?<=version )\\S+' <<< "$@")
if [ $1 = test ]; then echo '{}' > $run/report.json; exit; fi
mkdir -p $run/checkpoints
[[ $run = */held && ! -e $run/checkpoints/last.ckpt ]] && { echo half > $run/checkpoints/last.ckpt; exit 1; }
mkdir -p $run/adapter; touch $run/adapter/adapter.json
"""


def snakemake(folder, *words, python=sys.executable):
    command = [python, "-m", "snakemake", "--snakefile", SNAKEFILE, "--directory", folder, *words]
    environment = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=120)


def planned(folder, *words):
    """The commands of a dry run, one a line."""
    done = snakemake(folder, "--dry-run", "--quiet", "host", "progress", *words)
    assert done.returncode == 0, done.stderr
    rules = re.findall(r"^Shell command: (.*)$", done.stdout + done.stderr, re.MULTILINE)
    return [command for rule in rules for command in rule.split(" && ")]


def test_the_table_fits_each_run_before_what_starts_from_it_and_gathers_all(tmp_path):
    commands = planned(tmp_path, "--", "table")
    fits = [re.search(r"version (\w+) --ckpt_path last$", c)[1] for c in commands if c.startswith("bolid fit ")]
    assert sorted(fits) == ["all", "bodies", "distilled", "held", "image", "loss_diffusion", "oracle"]
    chain = ["oracle", "distilled", "bodies", "held", "all"]
    assert [fit for fit in fits if fit in chain] == chain
    assert fits.index("distilled") < fits.index("loss_diffusion")
    tested = [re.search(r"version (\w+)", c)[1] for c in commands if c.startswith("bolid test ")]
    ways = ["all_one_reference", "all_unguided", "one_reference", "unguided"]
    assert sorted(tested) == sorted([*ways, "all", "faces", "image", "oracle", "plain", "prior", "scales", "sheet"])
    assert commands.index("bolid identity prior --folder data/table --out runs/table/body_prior") < next(
        place for place, command in enumerate(commands) if "version prior" in command
    )
    assert commands[-1].startswith("python benchmarks/adapter_table.py runs/table ")
    assert all(Path(ROOT / file).is_file() for command in commands for file in re.findall(r"configs/\S+", command))


def test_losses_are_fitted_from_the_distilled_branch_and_compared(tmp_path):
    commands = planned(tmp_path, "--", "losses")
    losses = ["diffusion", "id", "id_17", "shape", "opposites", "clip", "prompt", "alignment"]
    runs = [re.search(r"version (\w+)", c)[1] for c in commands if c.startswith("bolid fit ")]
    assert runs[:2] == ["oracle", "distilled"]
    assert sorted(runs[2:]) == sorted(f"loss_{loss}" for loss in losses)
    assert [c for c in commands if c.startswith("bolid compare ")] == commands[-1:]
    assert all(f" runs/table/loss_{loss} " in commands[-1] for loss in losses)


def test_the_bundle_is_trained_from_nothing_and_packed(tmp_path):
    commands = planned(tmp_path, "--", "tiny")
    assert commands[-1] == "bolid bundle pack"
    place = {name: next(i for i, c in enumerate(commands) if name in c) for name in (
        "fit --config configs/tiny/vae.yaml", "bundle new runs/tiny/new", "fit --config configs/tiny/clip_loss.yaml",
        "fit --config configs/tiny/unet.yaml --ckpt_path", "--first 5000 --people 3000", "configs/tiny/unet_more.yaml",
        "--first 9000 --people 1000", "configs/tiny/unet_opposites.yaml", "test --config configs/tiny/unet_score.yaml",
    )}  # fmt: skip
    chain = [name for name in place if "clip_loss" not in name]
    assert [place[name] for name in chain] == sorted(place[name] for name in chain)
    assert place["bundle new runs/tiny/new"] < place["fit --config configs/tiny/clip_loss.yaml"]
    whole = "configs/body_vae.yaml --config configs/tiny/body_vae.yaml --config configs/tiny/body_vae_more.yaml"
    assert any(f"{whole} --config configs/tiny/body_vae_whole.yaml --ckpt_path last" in c for c in commands)
    assert "runs/tiny/unet_opposites/stable-diffusion" in commands[place["test --config configs/tiny/unet_score.yaml"]]


def test_the_ablation_measures_the_ceiling_first_and_takes_other_steps(tmp_path):
    commands = planned(tmp_path, "--config", "steps=1500", "--", "ablation")
    choices = {path.stem for path in (ROOT / "configs/experiment").glob("body_*.yaml")}
    assert {re.search(r"version (\w+)", c)[1] for c in commands[:-1]} == choices
    assert all("body_supervised" in command for command in commands[:2])
    assert all("--trainer.max_steps 1500" in command for command in commands[:-1])
    ceiling = "--model.init_args.supervised runs/body_ablation_1500/body_supervised/report.json"
    assert sum(ceiling in command for command in commands) == len(choices) - 1
    assert commands[-1].startswith("bolid compare --runs runs/body_ablation_1500/")


@pytest.fixture
def python(tmp_path):
    """A Python beside which `bolid` is the stub."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    (tmp_path / "bin/bolid").write_text(STUB)
    (tmp_path / "bin/bolid").chmod(0o755)
    return tmp_path / "bin/python"


def test_an_interrupted_chain_goes_on_from_its_checkpoint_and_what_exists_is_done(tmp_path, python):
    last = "runs/table/all/report.json"
    assert snakemake(tmp_path, "--", last, python=python).returncode != 0
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [c.split()[0] for c in calls] == ["fit"] * 4  # oracle, distilled, bodies and what died of held
    done = snakemake(tmp_path, "--", last, python=python)
    assert done.returncode == 0, done.stderr
    again = (tmp_path / "calls").read_text().splitlines()[4:]
    assert [(c.split()[0], re.search(r"version (\w+)", c)[1]) for c in again] == [
        ("fit", "held"), ("fit", "all"), ("test", "all"),
    ]  # fmt: skip
    assert (tmp_path / "runs/table/held/checkpoints/last.ckpt").read_text() == "half\n"
    os.utime(tmp_path / "runs/table/oracle/adapter/adapter.json")  # newer than what was made of it
    assert planned(tmp_path, "--", last) == []
