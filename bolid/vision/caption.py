"""Captions by any image-to-text network of transformers, such as BLIP or Qwen2.5-VL."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.vision.base import Frozen

INSTRUCTION = (
    "Describe the person in this photo in one sentence, beginning with 'a photo of a man' or 'a photo of a woman': "
    "position of the body, clothes, hair, and a little of the background. Name nobody."
)
SIDE = 1024  # pixels; maximum side of images, above the input sizes of common networks
EXAMPLES = "such as Salesforce/blip-image-captioning-base or Qwen/Qwen2.5-VL-3B-Instruct"


class Captioner(Frozen):
    """A frozen captioning network.

    Args:
        path: Folder in the layout of transformers, or a hub id.
        device: Device.
        instruction: Prompt of chat models.
        max_tokens: Maximum number of tokens in a caption.

    Raises:
        BolidError: If there is no such network, or it does not caption images.

    Attributes:
        fingerprint: Hash of the name, the instruction and the configuration; captions of other fingerprints are
            outdated.
    """

    def __init__(self, path: str, device: str = "cpu", instruction: str = INSTRUCTION, max_tokens: int = 60) -> None:
        place = _place(path)
        network, self._images, self._words = _load(path, place)
        super().__init__(network.to(device))
        self.instruction, self.max_tokens = instruction, max_tokens
        about = f"{place}\0{instruction}\0{max_tokens}\0{network.config.to_json_string()}"
        self.fingerprint = hashlib.sha256(about.encode()).hexdigest()
        try:
            self.describe([Image.new("RGB", (64, 64), "grey")])
        except Exception as error:  # architectures that need text with an image raise different errors
            raise BolidError(
                f"{path}: does not describe images ({_reason(error)}); give one that does, {EXAMPLES}"
            ) from error

    @torch.no_grad()
    def describe(self, pictures: Sequence[Image.Image]) -> list[str]:
        """Captions RGB images."""
        shown = [picture.copy() for picture in pictures]
        for picture in shown:
            picture.thumbnail((SIDE, SIDE))
        weights = next(self.network.parameters())
        inputs = self._inputs(shown).to(weights.device, weights.dtype)
        tokens = self.network.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
        asked = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        return [text.strip() for text in self._words.batch_decode(tokens[:, asked:], skip_special_tokens=True)]

    def _inputs(self, pictures: list[Image.Image]) -> Any:
        if not getattr(self._images, "chat_template", None):
            return self._images(images=pictures, return_tensors="pt")
        self._words.tokenizer.padding_side = "left"  # the answer follows the prompt
        asked = {"type": "text", "text": self.instruction}
        talks = [[{"role": "user", "content": [{"type": "image", "image": p}, asked]}] for p in pictures]
        return self._images.apply_chat_template(
            talks, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={"padding": True},
        )  # fmt: skip


def _place(path: str) -> str:
    """The folder, or a plausible hub id."""
    place = resolve(path)
    if not place.is_dir() and (place.is_absolute() or place.exists() or len(Path(path).parts) > 2 or path[:1] in ".~"):
        raise BolidError(
            f"{path}: no such folder; give one of a caption network of transformers, or a hub id {EXAMPLES}"
        )
    return str(place)


def _load(path: str, place: str) -> tuple[Any, Any, Any]:
    """The network, its image processor, and its tokenizer or processor of text."""
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

    try:
        network = AutoModelForImageTextToText.from_pretrained(place, use_safetensors=True)
        processor = AutoProcessor.from_pretrained(place)
        if hasattr(processor, "image_processor"):
            return network, processor, processor
        return network, AutoImageProcessor.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    except Exception as error:  # OSError, ValueError, KeyError, ImportError, and errors of safetensors and tokenizers
        raise BolidError(
            f"{path}: no caption network that transformers can load ({_reason(error)}); give another, {EXAMPLES}"
        ) from error


def _reason(error: Exception) -> str:
    """The first sentence of a long message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
