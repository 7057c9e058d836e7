"""CLIP by open_clip: embeddings of images and texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.paths import find_folder, resolve
from bolid.core.safe_io import atomic_path, write_text
from bolid.vision.base import FeatureNetwork

CONFIG, WEIGHTS, BPE = "open_clip_config.json", "open_clip_model.safetensors", "bpe.txt.gz"

_COLOURS = ("red", "blue", "green", "yellow", "white", "black", "grey", "brown")
CLASSES = tuple(f"a photo of a {who}, {colour} clothes" for who in ("man", "woman") for colour in _COLOURS)


class ClipModel(FeatureNetwork):
    """Any open_clip model, frozen.

    Args:
        name: A folder in open_clip's layout (see `save_clip_model`), a Hub id `hf-hub:owner/name`, or the name of an
            architecture open_clip knows, such as `EVA02-L-14`.
        pretrained: With an architecture's name: the tag (`merged2b_s4b_b131k`) or file of its weights.
        classes: Captions that define classes for metrics (the Inception score).

    Raises:
        BolidError: If the weights are missing or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, pretrained: str | None = None, classes: Sequence[str] = CLASSES) -> None:
        network, self._tokenizer, self.num_features = load_clip(name, pretrained)
        super().__init__(network)
        self.name = Path(name).name.lower()
        self.classes, self.num_classes = list(classes), len(classes)
        self.preprocess = network.visual.preprocess_cfg
        self.register_buffer("mean", torch.tensor(self.preprocess["mean"])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(self.preprocess["std"])[:, None, None], persistent=False)

    def encode_images(self, pictures: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> (B, D) float32 of length 1, with gradients."""
        return F.normalize(self.features(pictures), dim=-1)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """B texts -> (B, D) float32 of length 1, without gradients."""
        with torch.no_grad():
            tokens = self._tokenizer(list(texts)).to(self.mean.device)  # (B, context)
            return F.normalize(self.network.encode_text(tokens).float(), dim=-1)

    def features(self, pictures: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> embeddings (B, D) float32 of any length, with gradients."""
        sized = fit_picture(pictures.to(self.mean.dtype), self.preprocess["size"], self.preprocess["resize_mode"])
        return self.network.encode_image((sized - self.mean) / self.std).float()

    def logits(self, pictures: Tensor) -> Tensor:
        """Zero-shot classification: images (B, 3, H, W) in 0..1 -> (B, K) over `classes`."""
        texts = self.encode_texts(self.classes)
        return self.network.logit_scale.exp().float() * self.encode_images(pictures) @ texts.T


def fit_picture(pictures: Tensor, size: int | tuple[int, int], mode: str = "shortest") -> Tensor:
    """Resizes like open_clip's transform, on tensors and with gradients.

    Args:
        pictures: (B, 3, H, W).
        size: Height and width, or the side of a square.
        mode: `shortest` covers and crops the centre, `longest` fits and pads with black, `squash` ignores the aspect.
    """
    height, width = (size, size) if isinstance(size, int) else size
    ratios = height / pictures.shape[-2], width / pictures.shape[-1]
    if mode != "squash":
        ratios = (max(ratios) if mode == "shortest" else min(ratios),) * 2
    inner = max(1, round(pictures.shape[-2] * ratios[0])), max(1, round(pictures.shape[-1] * ratios[1]))
    resized = F.interpolate(pictures, inner, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    return F.pad(resized, [left, width - inner[1] - left, top, height - inner[0] - top])  # negative padding crops


def load_clip(name: str, pretrained: str | None = None) -> tuple[Any, Any, int]:
    """The open_clip model, its tokenizer and the embeddings' size; the arguments are those of `ClipModel`."""
    import open_clip

    kwargs = {}
    if resolve(name).is_dir():
        folder = find_folder(name, CONFIG, "a CLIP is a folder in open_clip's layout.")
        name, kwargs = f"local-dir:{folder}", _own_vocabulary(folder)
    elif not name.startswith("hf-hub:") and (name.replace("/", "-") not in open_clip.list_models() or not pretrained):
        raise BolidError(
            f"CLIP {name!r}: no such folder, and as the name of an architecture it needs `pretrained`. Give a folder "
            "with open_clip_config.json and weights (data/tiny/clip_score is one), or e.g. name EVA02-L-14 with "
            "pretrained merged2b_s4b_b131k; `import open_clip; open_clip.list_pretrained()` lists them."
        )
    try:
        # Without weights open_clip silently uses random ones unless they are required.
        model = open_clip.create_model(name, pretrained, require_pretrained=True)
        config = open_clip.get_model_config(name.replace("/", "-") if pretrained else name)
        return model, open_clip.get_tokenizer(name, **kwargs), config["embed_dim"]
    except (RuntimeError, ValueError, LookupError, TypeError, OSError) as error:
        where = f"{name} {pretrained or ''}".strip()
        raise BolidError(f"CLIP {where} could not be loaded ({str(error).splitlines()[0]}).") from error


def _own_vocabulary(folder: Path) -> dict[str, str]:
    # A path inside the config would be relative to the current folder, hence the fixed name.
    return {"bpe_path": str(folder / BPE)} if (folder / BPE).is_file() else {}


def save_clip_model(model: Any, model_cfg: dict, folder: Path, bpe: Path | None = None) -> None:
    """Writes a CLIP in open_clip's folder layout, which `open_clip.create_model("local-dir:…")` reads too.

    Args:
        model: As made by `open_clip.create_model` or `open_clip.CLIP(**model_cfg)`.
        model_cfg: open_clip's `embed_dim`, `vision_cfg` and `text_cfg`.
        folder: Output folder, created if absent.
        bpe: Gzipped merges of a custom vocabulary for open_clip's SimpleTokenizer.
    """
    from open_clip.transform import PreprocessCfg
    from safetensors.torch import save_file

    preprocess = getattr(model.visual, "preprocess_cfg", None) or vars(PreprocessCfg(size=model.visual.image_size))
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(Path(folder) / WEIGHTS) as temporary:
        save_file(state, temporary)
    if bpe:
        shutil.copyfile(bpe, Path(folder) / BPE)
    write_text(Path(folder) / CONFIG, json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}, indent=2))
