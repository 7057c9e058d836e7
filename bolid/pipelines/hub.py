"""Adapters on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bolid.core.errors import BolidError
from bolid.core.paths import resolve

FILES = ["*.json", "*.safetensors", "README.md"]  # no pickles
MODEL_CARD = """---
library_name: bolid
tags: [bolid, diffusers, ip-adapter, text-to-image]
{base}---

# {name}

An adapter of BoLID for images of a particular person, by {conditions}, trained for
`{path}`.

```python
from bolid import BoLIDPipeline

pipe = BoLIDPipeline.from_pretrained("{name}")
person = pipe.identity(["photo1.jpg", "photo2.jpg"])
pipe("a photo of a person, walking", person).images[0].save("person.png")
```
"""


def find_adapter(path: str | Path, **options: Any) -> Path:
    """Finds an adapter: the folder `path` itself, or the hub's snapshot of that id.

    Args:
        path: A folder, or a hub id such as org/name.
        options: Arguments of `huggingface_hub.snapshot_download`, such as revision, token and local_files_only.

    Raises:
        BolidError: If it is neither a folder nor an adapter that the hub provides.
    """
    folder, name = resolve(path), str(path)
    if folder.exists() or name.count("/") != 1 or Path(name).is_absolute() or name.startswith("."):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=FILES, etag_timeout=5, **options))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise BolidError(
            f"no adapter at {name!r}: it is no folder here, and the hub does not give it ({type(error).__name__}); "
            "give the `adapter` folder of a run, or a hub id that you can reach"
        ) from error


def push(folder: Path, name: str, private: bool = False, **options: Any) -> str:
    """Uploads an adapter's folder with a model card, and returns its address.

    Args:
        folder: As `save_pretrained` writes it.
        name: The hub id, org/name.
        private: Whether a new repository is private.
        options: Arguments of `HfApi.upload_folder`, such as commit_message, revision and token.

    Raises:
        BolidError: If the upload fails.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    (folder / "README.md").write_text(model_card(folder, name))
    try:
        api = HfApi(token=options.pop("token", None))
        api.create_repo(name, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=FILES, **options))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise BolidError(f"the hub does not take {name!r}: {error}; `hf auth login` gives you a token") from error


def model_card(folder: Path, name: str) -> str:
    """The model card (README.md) of an adapter's repository on the hub."""
    from bolid.pipelines.card import read_card

    _, card = read_card(folder)
    path = card.backbone.arguments["path"]
    base = "" if resolve(path).exists() else f"base_model: {path}\n"
    return MODEL_CARD.format(name=name, base=base, path=path, conditions=" and ".join(card.conditions) or "nothing")
