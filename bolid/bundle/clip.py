"""Trains the bundle's CLIP: a small open_clip model on photos and their captions."""

from __future__ import annotations

import gzip
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.member import MemberTask
from bolid.bundle.metrics.retrieval import CaptionRetrieval
from bolid.core.paths import find_folder
from bolid.core.schema import TrainingBatch
from bolid.vision.clip import BPE, ClipModel, save_clip_model


@dataclass
class ClipSize:
    """Architecture and sizes of both towers.

    Attributes:
        image_size: Height and width of the images.
        patch_size: Side of a patch.
        width: Width of the vision transformer.
        vision_layers: Its layers over the patches.
        text_layers: Transformer layers over the tokens.
        text_width: Width of the text tower and of the embeddings, a multiple of 4; null for `width`.
        timm: Name of a timm network that replaces the vision transformer.
    """

    image_size: tuple[int, int] = (96, 64)
    patch_size: int = 8
    width: int = 128
    vision_layers: int = 4
    text_layers: int = 2
    text_width: int | None = None
    timm: str | None = None

    def open_clip(self, vocabulary: int) -> dict[str, Any]:
        """open_clip's `model_cfg`."""
        transformer = {"patch_size": self.patch_size, "width": self.width, "layers": self.vision_layers}
        network = {"timm_model_name": self.timm, "timm_pool": "avg", "timm_proj": "linear"}
        vision = network if self.timm else transformer | {"head_width": 32}
        width = self.text_width or self.width
        text = {"context_length": 77, "vocab_size": vocabulary, "width": width, "heads": 4, "layers": self.text_layers}
        return {
            "embed_dim": width,
            "vision_cfg": {"image_size": list(self.image_size)} | vision,
            "text_cfg": text,
        }


def write_bpe(tokenizer: Path, file: Path) -> int:
    """Writes a CLIP tokenizer's merges as open_clip's `bpe.txt.gz`; returns the vocabulary's size there."""
    from transformers import CLIPTokenizer

    folder = find_folder(tokenizer, "tokenizer_config.json", "give the tokenizer folder of a Stable Diffusion")
    pairs = json.loads(CLIPTokenizer.from_pretrained(str(folder)).backend_tokenizer.to_str())["model"]["merges"]
    lines = ["#version: bolid", *(" ".join(pair) for pair in pairs)]
    with file.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as out:
        out.write("\n".join(lines).encode())
    return 2 * 256 + len(pairs) + 2


class ClipTask(MemberTask):
    """The symmetric contrastive loss of CLIP; captions without body words lose them on both sides alike.

    Args:
        tokenizer: Folder of the CLIP tokenizer whose vocabulary is used.
        size: Sizes of the towers.
        kwargs: See `MemberTask`.
    """

    def __init__(self, tokenizer: Path, size: ClipSize | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        import open_clip

        with tempfile.TemporaryDirectory() as folder:
            bpe = Path(folder) / BPE
            self.config = (size or ClipSize()).open_clip(write_bpe(tokenizer, bpe))
            self.tokenizer = open_clip.SimpleTokenizer(bpe_path=str(bpe))
            self.merges = bpe.read_bytes()  # kept in memory: the vocabulary of this fit, even if the files change
        self.network = open_clip.CLIP(**self.config)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """The loss of a batch: scalar; logs it."""
        loss, top1 = self.loss(batch)
        self.log_dict({"train/loss": loss, "train/top1": top1}, prog_bar=True)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Loss and caption retrieval within the batch."""
        loss, top1 = self.loss(batch)
        self.log_dict({"val/loss": loss, "val/top1": top1}, prog_bar=True, batch_size=len(batch), sync_dist=True)

    def loss(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """The loss and the share of images that find their own caption among the batch's: scalars."""
        mean, std = self._statistics(batch.pictures)
        pictures = ((batch.pictures * 0.5 + 0.5) - mean) / std
        tokens = self.tokenizer(batch.captions).to(self.device)
        image, text, scale = self.network(pictures, tokens)
        logits = scale * image @ text.T
        target = torch.arange(len(logits), device=self.device)
        top1 = (logits.argmax(1) == target).float().mean()
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2, top1

    @staticmethod
    def _statistics(like: Tensor) -> tuple[Tensor, Tensor]:
        from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

        return like.new_tensor(OPENAI_DATASET_MEAN)[:, None, None], like.new_tensor(OPENAI_DATASET_STD)[:, None, None]

    def new_score(self, folder: Path) -> CaptionRetrieval:
        """Retrieval both ways among held-out images with different captions."""
        return CaptionRetrieval(ClipModel(str(folder)))

    def export(self, folder: Path) -> None:
        """Writes an open_clip folder."""
        with tempfile.TemporaryDirectory() as scratch:
            bpe = Path(scratch) / BPE
            bpe.write_bytes(self.merges)
            save_clip_model(self.network, self.config, folder, bpe)
