"""Completion as a shell does it."""

import shutil
import subprocess

import pytest

from bolid.cli import main


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    from contextlib import redirect_stdout

    file = tmp_path_factory.mktemp("completion") / "bolid.sh"
    with file.open("w") as stream, redirect_stdout(stream):
        assert main(["completion", "bash"]) == 0
    return file


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("bolid fi", "fit"),
        ("bolid data an", "annotate"),
        ("bolid data annotate --cap", "--captioner"),
        ("bolid personalize --base sd", "sd15 sdxl"),
        ("bolid fit --conf", "--config"),
    ],
)
def test_bash_completes_commands_options_and_choices(script, typed, completed):
    asked = f"""source {script}; COMP_WORDS=({typed}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); _shtab_bolid
    echo "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
    assert done.stdout.split() == completed.split(), done.stderr


def test_an_unknown_shell_is_refused_in_one_line(capsys):
    assert main(["completion", "cmd"]) != 0
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
