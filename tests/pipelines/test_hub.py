"""Adapters on the hub; the hub itself is not asked, its client's functions are watched."""

import shutil

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import filter_repo_objects

from bolid.conditions import FaceCondition
from bolid.core.errors import BolidError
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion
from bolid.pipelines import BoLIDPipeline
from bolid.pipelines.hub import find_adapter
from tests import miniature


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    torch.manual_seed(0)
    backbone = StableDiffusion(str(miniature.save_sd(tmp_path_factory.mktemp("sd"))))
    conditions = {"face": FaceCondition()}
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in conditions.values()])
    return BoLIDPipeline(backbone, conditions)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder in the place of the hub: repository -> its files."""

    def upload(self, repo_id, folder_path, allow_patterns, **options):
        names = [f.relative_to(folder_path).as_posix() for f in folder_path.rglob("*") if f.is_file()]
        for name in filter_repo_objects(names, allow_patterns=allow_patterns):
            (tmp_path / repo_id / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder_path / name, tmp_path / repo_id / name)
        return f"https://huggingface.co/{repo_id}"

    def download(repo_id, **options):
        if not (tmp_path / repo_id).is_dir():
            raise LocalEntryNotFoundError("not here")
        return str(tmp_path / repo_id)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda self, name, **options: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return tmp_path


def test_what_is_pushed_can_be_loaded_by_its_id_and_says_what_it_is(pipe, hub):
    assert pipe.push_to_hub("ann/adapter") == "https://huggingface.co/ann/adapter"
    again = BoLIDPipeline.from_pretrained("ann/adapter", revision="main")
    arguments = {"num_inference_steps": 1, "height": 48, "width": 32, "output_type": "pt"}
    torch.testing.assert_close(again("a man", **arguments).images, pipe("a man", **arguments).images)
    page = (hub / "ann/adapter/README.md").read_text()
    assert 'from_pretrained("ann/adapter")' in page
    assert "base_model" not in page  # a folder of this machine means nothing on the hub


def test_what_the_hub_does_not_give_is_refused_in_one_line(hub):
    with pytest.raises(BolidError, match=r"no adapter at .ann/none..*hub does not give it"):
        BoLIDPipeline.from_pretrained("ann/none")


@pytest.mark.parametrize("path", ["adapter", "./org/name", "/org/name", "runs/org/name"])
def test_a_path_is_never_taken_for_a_hub_id(path, hub):
    assert str(find_adapter(path)) == str(path).removeprefix("./")


@pytest.mark.parametrize(("given", "named"), [(torch.bfloat16, torch.bfloat16), ("bfloat16", torch.bfloat16)])
def test_a_precision_is_given_by_torchs_name_or_its_own(pipe, tmp_path, given, named):
    pipe.save_pretrained(tmp_path)
    assert BoLIDPipeline.from_pretrained(tmp_path, torch_dtype=given).dtype == named
    with pytest.raises(BolidError, match="dtype='float99' is none of float32, bfloat16, float16"):
        BoLIDPipeline.from_pretrained(tmp_path, dtype="float99")
