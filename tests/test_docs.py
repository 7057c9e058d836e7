"""The documentation: the site builds, commands and what they name exist, blocks of Python run or say why not."""

import inspect
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec

import pytest
import yaml

from bolid.cli import FUNCTIONS, TRAINING, main
from bolid.data.curate.verdicts import read_verdicts
from tests.data.curate.photos import picture, write
from tests.pages import DOCS, PAGES, ROOT, blocks, commands, extension, files, verb

# Where blocks of Python are run: here, and by which test.
RUN = {
    "README.md": "tests/test_readme.py",
    "docs/index.md": "tests/test_readme.py",
    "docs/tutorial.md": "tests/test_readme.py",
    "docs/pipeline.md": "tests/test_readme.py",
    "docs/extend/condition.md": "tests/pipelines/test_from_outside.py",
    "docs/extend/backbone.md": "tests/pipelines/test_from_outside.py",
    "docs/extend/loss.md": "tests/test_outside.py",
    "docs/extend/metric.md": "tests/test_outside.py",
    "docs/extend/method.md": "tests/test_outside.py",
    "docs/extend/filter.md": "tests/test_docs.py",
}
READ_ONLY = {"docs/photos/blazepose.md"}  # shows what networks give that are to be fetched first
WORDS = re.compile(r"\b(told|tells|nobody|somebody)\b", re.IGNORECASE)
OURS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(page for page in DOCS if page.parent.name != "photos")]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.skipif(not find_spec("mkdocs") or not find_spec("mkdocstrings"), reason="pip install bolid[docs]")
def test_the_site_builds_without_a_broken_link(tmp_path):
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    built = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in DOCS}
    assert built <= {page.relative_to(tmp_path / "site") for page in (tmp_path / "site").rglob("*.html")}
    listed = (tmp_path / "site/commands.html").read_text()
    assert all(f"<code>bolid {name}</code>" in listed for name in (*TRAINING, *FUNCTIONS))
    assert "from_pretrained" in (tmp_path / "site/reference/pipeline.html").read_text()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_what_they_name_exist(page):
    for words in (words for words in commands(page.read_text()) if words[0] == "bolid"):
        name = verb(words)
        assert name in FUNCTIONS or name in TRAINING, words
        assert all((ROOT / word).is_file() for word in words if word.startswith("configs/")), words
        if name in FUNCTIONS:
            module, _, function = FUNCTIONS[name][0].partition(":")
            settings = inspect.signature(getattr(import_module(module), function)).parameters
            known = {"config", *(setting.rstrip("_") for setting in settings)}
            given = {word[2:].partition(".")[0].partition("=")[0] for word in words if word.startswith("--")}
            assert given <= known, words
    for link in re.findall(r"\]\(([^)#:\s]+)[)#]", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", OURS, ids=name_of)
def test_commands_of_functions_parse(page, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for words in (words for words in commands(page.read_text()) if words[0] == "bolid" and verb(words) in FUNCTIONS):
        with pytest.raises(SystemExit) as end:
            main([*words[1:], "--print_config"])
        assert end.value.code in (0, None), (words, capsys.readouterr().err)


@pytest.mark.parametrize("recipe", ["sd15", "sdxl"])
def test_free_networks_fit_into_the_recipes_for_stable_diffusion(recipe, tmp_path, capsys):
    (tmp_path / "free.yaml").write_text(files(ROOT / "docs/stable-diffusion.md")["free.yaml"])
    words = ["fit", "--config", str(ROOT / f"configs/recipe/{recipe}.yaml"), "--config", str(tmp_path / "free.yaml")]
    with pytest.raises(SystemExit) as end:
        main([*words, "--print_config"])
    said = capsys.readouterr()
    assert end.value.code in (0, None), said.err
    assert not re.search(r"models/|runs/body_vae", said.out)
    assert "dropout: 0.05" in said.out


def test_blocks_of_python_are_run_or_say_why_not():
    for page in PAGES:
        for block in (block for block in blocks(page.read_text()) if block.language == "python"):
            if name_of(page) not in RUN.keys() | READ_ONLY:
                assert block.mark.startswith("not run: "), (page, block.text)
    for page, test in RUN.items():
        assert any(block.language == "python" for block in blocks((ROOT / page).read_text())), page
        assert (ROOT / test).is_file()


def test_a_filter_from_outside_rejects_by_its_own_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "upright", type(sys)("upright"))
    names = vars(sys.modules["upright"])
    exec(extension("filter")["upright.py"], names)
    for number in range(3):
        photo = picture(number, size=(1100, 1300) if number else (1300, 1100))
        write(tmp_path, f"ann/{number}.jpg", photo)
    said = names["run"](tmp_path)
    assert "2 of 3 photos kept, of 1 people; rejected: upright 1" in said
    rejected, verdicts = read_verdicts(tmp_path)["ann/0.jpg"]
    assert (rejected, verdicts["upright"]) == ("upright", "wide: 1.18 > 1")


def test_the_first_pages_say_that_no_real_adapter_is_shipped():
    readme = (ROOT / "README.md").read_text()
    first, _, rest = readme.partition("## Install")
    assert len(rest.splitlines()) <= 150
    for text in (first, (ROOT / "docs/index.md").read_text(), (ROOT / "docs/stable-diffusion.md").read_text()):
        assert re.search(r"No adapter for Stable Diffusion 1\.5 or SDXL is shipped", text)
        assert "4 days" in " ".join(text.split()) or "150 TFLOP/s" in text


def test_the_version_is_the_same_everywhere():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version


def test_pages_use_the_words_of_the_field():
    assert not {name_of(page): found for page in OURS if (found := WORDS.findall(page.read_text()))}
