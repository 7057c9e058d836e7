"""What the README and the pages on use say is run as it stands there, after a short fit in place of the demo's."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from bolid.cli import main
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding
from bolid.core.photos import marked
from bolid.core.safe_io import sha256
from bolid.data.manifest import write_manifest
from bolid.tasks.adapter import AdapterTask
from bolid.tasks.body_vae import BodyVAETask
from bolid.tasks.checkpoints import read_checkpoint
from tests import miniature
from tests.data.fabricate import fabricate
from tests.pages import PAGES, ROOT, blocks, commands
from tests.plans import TARGETS

ADAPTER, FOLDER, INCEPTION = (f"{ROOT}/configs/{n}.yaml" for n in ("adapter", "data/folder", "metrics/inception"))
RUN = Path("runs/adapter/demo")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Where `make demo` was run, as far as it matters here: the real bundle, two photos, an adapter."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("demo")
        patch.chdir(folder)
        patch.delenv("BOLID_TINY", raising=False)
        Path("data/people/test").mkdir(parents=True)
        Path("data/tiny").symlink_to(ROOT / "data/tiny")
        for photo in (0, 1):
            png = marked((ROOT / "docs/person.png").read_bytes(), "rendered v2")
            Path(f"data/people/test/p900000_{photo}.png").write_bytes(png)
        records = fabricate(Path("photos"), {"train": 2, "val": 1, "test": 2}, silhouettes=True)
        face = sha256(Path("data/tiny/face/face.onnx"))
        write_manifest(Path("photos"), [replace(r, face_model=face) for r in records])
        assert bolid("fit", "--trainer.max_steps", "2") == 0
        yield folder


def bolid(verb, *words):
    small = [
        "--data.init_args.folder",
        "photos",
        "--data.init_args.batch_size",
        "2",
        "--trainer.limit_val_batches",
        "0",
    ]
    small += ["--trainer.accelerator", "cpu", "--trainer.precision", "32-true", "--trainer.logger.init_args.version"]
    return main([verb, "--config", ADAPTER, "--config", FOLDER, *small, "demo", *words])


def python(page):
    """The blocks of a page that are to be run."""
    found = [block for block in blocks((ROOT / page).read_text()) if block.language == "python"]
    return [block.text for block in found if not block.mark]


def test_the_first_lines_of_readme_site_and_tutorial_generate_a_person(demo):
    (four_lines,) = python("README.md")
    assert len(four_lines.splitlines()) == 4
    assert [four_lines] == python("docs/index.md")
    for lines in (four_lines, *python("docs/tutorial.md")):
        Path("person.png").unlink(missing_ok=True)
        exec(lines, {})
        with Image.open("person.png") as generated:
            assert generated.size == (64, 96)


def test_the_page_on_the_pipeline_runs_in_order(demo):
    names = {}
    for lines in python("docs/pipeline.md"):
        exec(lines, names)
    card = json.loads((RUN / "adapter/adapter.json").read_text())["conditions"]
    assert card["face"]["arguments"]["fingerprint"] == sha256(Path("data/tiny/face/face.onnx"))
    assert names["array"].shape == (1, 96, 64, 3)
    assert names["tensor"].shape == (1, 3, 96, 64)
    with Image.open("walking.png") as generated:
        assert generated.size == (64, 96)
    names["person"] = names["person"].replace(
        face=Embedding(torch.ones(512), card["face"]["arguments"]["fingerprint"])
    )  # no face is seen in the photos
    exec(python("docs/pipeline.md")[-1], names)


def test_a_task_is_loaded_from_its_checkpoint_alone(demo):
    checkpoint = RUN / "checkpoints/last.ckpt"
    task = AdapterTask.load_from_checkpoint(checkpoint)
    trained = read_checkpoint(checkpoint, "checkpoint")["state_dict"]
    found = task.state_dict()
    assert trained.keys() == task.trained_keys()
    assert all(torch.equal(found[name], value) for name, value in trained.items())
    with pytest.raises(BolidError, match="no configuration of BodyVAETask"):
        BodyVAETask.load_from_checkpoint(checkpoint)
    shutil.copy(checkpoint, "alone.ckpt")
    with pytest.raises(BolidError, match=r"alone.ckpt has no config.yaml of its run next to it"):
        AdapterTask.load_from_checkpoint("alone.ckpt")


@pytest.mark.slow
def test_inception_measures_beside_the_embedded_networks(demo, tmp_path):
    weights = yaml.safe_load(Path(INCEPTION).read_text())["model"]["init_args"]["evaluation"]["metrics"]
    weights = weights["fid_inception"]["init_args"]["network"]
    miniature.save_inception(Path(weights["init_args"]["weights"]))
    words = ["--config", INCEPTION, "--ckpt_path", f"{RUN}/checkpoints/last.ckpt", "--trainer.limit_test_batches", "1"]
    words += ["--model.init_args.evaluation.sampling.steps", "1"]
    assert bolid("test", *words) == 0
    report = json.loads((RUN / "report.json").read_text())
    assert 1 <= report["inception_score/inceptionv3/text"] <= 2  # of two pictures
    assert {"fid/inceptionv3/text", "kid/inceptionv3/text", "fid/clip_score/text"} <= report.keys()


@pytest.mark.slow
def test_the_commands_about_people_by_name_run(demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/tiny").symlink_to(ROOT / "data/tiny")
    Path("runs").symlink_to(demo / "runs")
    records = fabricate(Path("data/people"), {"train": 50})
    face = sha256(Path("data/tiny/face/face.onnx"))
    names = sorted({r.identity for r in records})
    bodies = dict(zip(names, np.random.default_rng(0).normal(size=(len(names), 7)).astype(np.float32), strict=True))
    known = [
        replace(r, proportions=bodies[r.identity], face_model=face, renderer=2, scene=r.file_name) for r in records
    ]
    write_manifest(Path("data/people"), [replace(r, identity=r.identity.replace("p00004", "p90000")) for r in known])
    Path("data/people/test").mkdir(exist_ok=True)
    for photo in (0, 1):
        shutil.copy(demo / f"data/people/test/p900000_{photo}.png", f"data/people/test/p900001_{photo}.png")
    shutil.copytree("data/people/test", "PHOTOS")
    lines = [words for words in commands((ROOT / "docs/people.md").read_text()) if "sd15" not in words]
    assert len(lines) == 12
    for words in lines:
        few = {"generate": ["--steps", "1"], "personalize": ["--name", "dora"]}.get(words[1], [])
        assert main(words[1:] + few) == 0, words
    assert {p.stem for p in Path("data/identities").iterdir()} == {"ann", "ben", "cleo", "broad", "dora"}
    assert len(list(Path("pictures").iterdir())) == 12 + 5  # nothing is overwritten


def named(pattern):
    """What all pages say of a kind, each once."""
    return sorted(set(re.findall(pattern, "".join(page.read_text() for page in PAGES))))


def test_what_is_named_exists():
    assert all((ROOT / file).is_file() for file in named(r"(configs/[\w/]+\.yaml)"))
    assert all(
        (ROOT / "benchmarks" / file).is_file() for file in named(r"benchmarks/(\w+\.(?:py|json))") if ".py" in file
    )
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(named(r"`(?:make) ([a-z-]+)`")) <= targets
    assert set(named(r"`snakemake ([a-z]+)`")) <= set(TARGETS)


OPTIONS = named(r"(--(?:trainer|model|data|callbacks)\.[\w.]+ (?:'[^']+'|[^\s`\"]+))")


@pytest.mark.slow  # a parser for each
@pytest.mark.parametrize("option", OPTIONS)
def test_a_setting_that_is_named_is_one(option, capsys):
    key, value = shlex.split(option)
    stage_1 = ".init_args.loss." in key or "body_vae" in value
    base = "body_vae" if stage_1 else "tiny/anthropometer" if key.endswith(".vae") else "adapter"
    words = ["--config", ROOT / f"configs/{base}.yaml"]
    words += ["--config", ROOT / "configs/losses/few_step.yaml"] if "x_gen" in key else []
    with pytest.raises(SystemExit) as end:
        main(["fit", *map(str, words), key, value, "--print_config"])
    assert end.value.code in (0, None), capsys.readouterr().err
