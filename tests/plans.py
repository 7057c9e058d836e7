"""What the chains of experiments would run, by Snakemake's dry run."""

import os
import re
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
SNAKEFILE = ROOT / "workflow/Snakefile"
TARGETS = ("tiny", "table", "losses", "ablation")


def snakemake(folder, *words, python=sys.executable):
    """Runs the workflow with this folder in place of the repository's root."""
    command = [python, "-m", "snakemake", "--snakefile", SNAKEFILE, "--directory", folder, *words]
    environment = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=120)


def planned(folder, *words):
    """The commands of a dry run, in the order of their rules."""
    done = snakemake(folder, "--dry-run", "--quiet", "host", "progress", *words)
    assert done.returncode == 0, done.stderr
    rules = re.findall(r"^Shell command: (.*)$", done.stdout + done.stderr, re.MULTILINE)
    return [command for rule in rules for command in rule.split(" && ")]


@cache
def all_planned():
    """The commands of all targets where nothing was run."""
    with TemporaryDirectory() as folder:
        return tuple(planned(folder, "--", *TARGETS))
