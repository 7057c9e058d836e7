"""A condition and a backbone from outside the package: trained, exported, loaded and generated with by name alone.

Their code is that of the pages in `docs/extend`.
"""

import json
import sys

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bolid.conditions.base import KINDS as CONDITIONS
from bolid.core.errors import BolidError
from bolid.core.identity_file import IdentityFolder
from bolid.core.registry import Registry
from bolid.core.trained_on import was_trained_on
from bolid.models.backbones.base import KINDS as BACKBONES
from bolid.pipelines import BoLIDPipeline
from tests.data.fabricate import fabricate
from tests.pages import extension
from tests.test_cli import ADAPTER, small

FILES = extension("condition") | extension("backbone")  # of the pages that say how
ENTRIES = """[bolid.conditions]
colours = theirs:Colours
[bolid.backbones]
Doubled = doubled:Doubled
"""


def forget():
    """As in a process that has not imported the package."""
    for module in ("theirs", "doubled"):
        sys.modules.pop(module, None)
    CONDITIONS.kinds.pop("colours", None)
    BACKBONES.kinds.pop("Doubled", None)


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A folder on the path with the modules and overlays; installed as a package by `install`."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(folder)
    forget()
    yield folder
    forget()


def install(folder):
    info = folder / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)


def test_they_are_trained_exported_and_generated_with_by_configuration_alone(theirs, run, tmp_path):
    fabricate(tmp_path / "photos", {"train": 6, "val": 2}, silhouettes=True)
    words = ["--config", ADAPTER, *small(tmp_path / "photos"), "--trainer.max_steps", 1]
    status, _, err = run("fit", *words, "--config", theirs / "shirt.yaml", "--config", theirs / "doubled.yaml")
    assert status == 0, err
    adapter = tmp_path / "runs/adapter/x/adapter"
    card = json.loads((adapter / "adapter.json").read_text())
    assert (card["backbone"]["kind"], card["conditions"]["shirt"]["kind"]) == ("Doubled", "colours")
    assert "theirs" not in json.dumps(card)  # cards name no modules
    assert [was_trained_on(adapter, f"p00000{k}") for k in (0, 5, 6)] == [True, True, False]  # the last is of val
    assert len(load_file(adapter / "shirt.safetensors")["image_proj.norm.weight"]) > 0

    forget()
    with pytest.raises(BolidError, match=r"unknown kind of condition 'colours'; known are body, face, image, pose"):
        BoLIDPipeline.from_pretrained(adapter)
    install(theirs)  # now its entry points say where they are
    create = ["identity", "create", "--name", "ann", "--folder", "photos", "--person", "p000000", "--adapter", adapter]
    assert run(*create)[:2] == (0, "data/identities/ann.safetensors: body (8 numbers) and shirt (3 numbers)\n")
    ann = IdentityFolder(tmp_path / "data/identities").load("ann")
    assert ann["shirt"].model == "mean colour"
    short = ["--adapter", adapter, "--count", 1, "--steps", 2, "--size", 48, 32]
    assert run("generate", "a photo", "--identity", "ann", *short)[0] == 0
    with Image.open("pictures/0.png") as image:
        assert image.size == (32, 48)

    pipe = BoLIDPipeline.from_pretrained(adapter)
    assert type(pipe.backbone).__name__ == "Doubled"
    arguments = {"num_inference_steps": 2, "height": 48, "width": 32, "output_type": "pt"}
    with_shirt, without = (pipe("a photo", ann, scale=scale, **arguments).images for scale in (1.0, {"shirt": 0.0}))
    assert not torch.equal(with_shirt, without)


def test_classes_can_be_passed_to_the_pipeline(theirs, bundle, tmp_path):
    from theirs import Colours

    from bolid.models.attention import install_conditions
    from bolid.models.backbones import StableDiffusion

    backbone, conditions = StableDiffusion(str(bundle / "stable-diffusion")), {"shirt": Colours()}
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in conditions.values()])
    BoLIDPipeline(backbone, conditions).save_pretrained(tmp_path / "adapter")
    forget()
    with pytest.raises(BolidError, match="or pass the class"):
        BoLIDPipeline.from_pretrained(tmp_path / "adapter")
    again = BoLIDPipeline.from_pretrained(tmp_path / "adapter", conditions=[Colours])
    assert again.conditions["shirt"].num_tokens == 2


def test_an_entry_point_that_leads_nowhere_is_named(theirs):
    install(theirs)
    (theirs / "theirs.py").write_text("Colours = 3\n")
    with pytest.raises(BolidError, match=r"the entry point theirs:Colours is no condition of kind colours"):
        CONDITIONS.find("colours")
    forget()
    (theirs / "theirs.py").unlink()
    with pytest.raises(BolidError, match=r"the condition colours of theirs:Colours cannot be imported"):
        CONDITIONS.find("colours")


def test_two_classes_of_a_kind_are_refused():
    registry = Registry("thing", "bolid.things")
    one, other = (type(name, (), {"kind": "a"}) for name in ("One", "Other"))
    registry.add("a", one)
    registry.add("a", type("One", (), {"kind": "a"}))  # its module was imported anew
    with pytest.raises(TypeError, match=r"Other: .* has a thing of kind 'a' already"):
        registry.add("a", other)
    for wrong in ("b", 3, None, ["a"]):
        with pytest.raises(BolidError, match=r"unknown kind of thing .*; known are a"):
            registry.find(wrong)
