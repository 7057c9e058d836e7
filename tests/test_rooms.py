"""The house's rules: rooms import leftwards only, and the command line starts without the heavy libraries."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python(*words, **more):
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, **more)


def test_rooms_import_leftwards_only():
    done = python("-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


def test_a_wrong_import_would_be_noticed(tmp_path):
    wrong = tmp_path / "pyproject.toml"
    swapped = (
        (ROOT / "pyproject.toml")
        .read_text()
        .replace('"bolid.core",\n]', "]")
        .replace("layers = [", 'layers = [\n    "bolid.core",')
    )
    wrong.write_text(swapped)
    words = f"['--no-cache', '--config', {str(wrong)!r}]"
    done = python("-c", f"from importlinter.cli import lint_imports_command as run; run({words})")
    assert done.returncode == 1
    assert "1 broken" in done.stdout


def test_the_command_line_starts_light():
    heavy = "{'torch', 'lightning', 'diffusers', 'transformers', 'numpy', 'anny', 'pyvista'}"
    done = python("-c", f"import sys, bolid.cli; print(sorted({heavy} & sys.modules.keys()))")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
