"""What is installed from a wheel, far from the repository, holds the embedded bundle and generates by it."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words, **more):
    return subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300, **more)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    dist = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", dist, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    return next(dist.glob("bolid-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel alone; the libraries are those of this environment, without its BoLID."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    packages = next(folder.glob("lib/python*/site-packages"))
    target = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", packages, wheel)
    done = run(sys.executable, *target)
    assert done.returncode == 0, done.stderr
    libraries = Path(pytest.__file__).parents[1]
    (packages / "libraries.pth").write_text(f"{libraries}\n")  # its own .pth files, such as an editable BoLID's, not
    return folder


def test_a_wheel_carries_the_whole_bundle_and_no_tests(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    bundle = ROOT / "data/tiny"
    files = {file.relative_to(bundle) for file in bundle.rglob("*") if file.is_file()}
    packed = tmp_path / "bolid/tiny"
    assert {file.relative_to(packed) for file in packed.rglob("*") if file.is_file()} == files
    assert (tmp_path / "bolid/py.typed").is_file()
    assert not list(tmp_path.rglob("tests"))


def test_an_installed_wheel_generates_an_image_far_from_the_repository(installed, tmp_path):
    python = installed / "bin/python"
    where = "import bolid; from bolid.core.paths import resolve; print(bolid.__file__, resolve('data/tiny'))"
    found = run(python, "-c", where, cwd=tmp_path)
    assert all(Path(place).is_relative_to(installed) for place in found.stdout.split()), found.stdout + found.stderr
    words = ("a photo of a person", "--adapter", "data/tiny/adapter", "--count", "1", "--steps", "2")
    made = run(python, "-m", "bolid.cli", "generate", *words, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "pictures/0.png").read_bytes().startswith(b"\x89PNG")
