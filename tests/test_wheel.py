"""What is installed from a wheel, far from the repository, holds the embedded bundle and finds it."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python(*words, **more):
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=300, **more)


def test_a_wheel_carries_the_bundle_and_finds_it(tmp_path):
    built = python("-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path / "dist", cwd=ROOT)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next((tmp_path / "dist").glob("bolid-*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    bundle = ROOT / "data/tiny"
    files = {file.relative_to(bundle) for file in bundle.rglob("*") if file.is_file()}
    packed = tmp_path / "site/bolid/tiny"
    assert {file.relative_to(packed) for file in packed.rglob("*") if file.is_file()} == files
    assert not list((tmp_path / "site").rglob("tests"))
    (tmp_path / "empty").mkdir()
    where = "from bolid.core.paths import resolve; print(resolve('data/tiny/pose'), resolve('data/tiny/gone'))"
    found = python("-c", where, cwd=tmp_path / "empty", env={"PYTHONPATH": str(tmp_path / "site")})
    assert found.stdout.split() == [str(packed / "pose"), str(tmp_path / "site/data/tiny/gone")], found.stderr
