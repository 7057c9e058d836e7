"""What the README says is run as it stands there, after a short fit in place of the demo's."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from bolid.cli import main
from bolid.core.safe_io import sha256
from bolid.data.manifest import write_manifest
from tests import miniature
from tests.data.fabricate import fabricate

ROOT = Path(__file__).parents[1]
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
            shutil.copy(ROOT / "docs/person.png", f"data/people/test/p900000_{photo}.png")
        records = fabricate(Path("photos"), {"train": 2, "val": 1, "test": 2})
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


def test_the_snippets_draw_a_person_and_so_does_stock_diffusers(demo):
    four_lines, stock = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(four_lines, names)
    with Image.open("person.png") as drawn:
        assert drawn.size == (64, 96)
    card = {
        branch["name"]: branch["arguments"]
        for branch in json.loads((RUN / "adapter/adapter.json").read_text())["branches"]
    }
    assert card["face"]["fingerprint"] == sha256(Path("data/tiny/face/face.onnx"))
    names["person"] = replace(names["person"], face=names["person"].body.new_ones(512))  # no face is seen in them
    exec(stock, names)
    with Image.open("walking.png") as drawn:
        assert drawn.size == (64, 96)


def test_inception_measures_beside_the_embedded_networks(demo, tmp_path):
    weights = yaml.safe_load(Path(INCEPTION).read_text())["model"]["init_args"]["metrics+"][0]["init_args"]["network"]
    miniature.save_inception(Path(weights["init_args"]["weights"]))
    words = ["--config", INCEPTION, "--ckpt_path", f"{RUN}/checkpoints/last.ckpt", "--trainer.limit_test_batches", "1"]
    words += ["--model.init_args.columns", "[{name: text}]", "--model.init_args.sampling.steps", "1"]
    assert bolid("test", *words) == 0
    report = json.loads((RUN / "report.json").read_text())
    assert 1 <= report["inception_score/inceptionv3/text"] <= 2  # of two pictures
    assert {"fid/inceptionv3/text", "kid/inceptionv3/text", "fid/clip_score/text"} <= report.keys()
