"""Captions by any image-to-text network of transformers, such as BLIP or Qwen2.5-VL."""

from __future__ import annotations

import hashlib
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
SIDE = 1024  # pixels; no network here looks closer


class Captioner(Frozen):
    """A frozen network that describes photos.

    Args:
        path: Its folder, as transformers saves it, or a hub id.
        device: Where it runs.
        instruction: What chat models are asked.
        max_tokens: Of a caption.

    Raises:
        BolidError: If there is no such network.

    Attributes:
        fingerprint: Of the name, the instruction and the configuration: captions of others are made anew.
    """

    def __init__(self, path: str, device: str = "cpu", instruction: str = INSTRUCTION, max_tokens: int = 60) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        place = str(resolve(path))
        try:
            network = AutoModelForImageTextToText.from_pretrained(place, use_safetensors=True)
            self._processor: Any = AutoProcessor.from_pretrained(place)
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise BolidError(
                f"{path}: no caption network that transformers can load ({reason}); give a folder or hub id such as "
                "Salesforce/blip-image-captioning-base or Qwen/Qwen2.5-VL-3B-Instruct"
            ) from error
        super().__init__(network.to(device))
        self.instruction, self.max_tokens = instruction, max_tokens
        about = f"{place}\0{instruction}\0{max_tokens}\0{network.config.to_json_string()}"
        self.fingerprint = hashlib.sha256(about.encode()).hexdigest()

    @torch.no_grad()
    def describe(self, picture: Image.Image) -> str:
        """A caption of an RGB picture, as the network words it."""
        shown = picture.copy()
        shown.thumbnail((SIDE, SIDE))
        place = next(self.network.parameters())
        inputs = self._inputs(shown).to(place.device, place.dtype)
        tokens = self.network.generate(**inputs, max_new_tokens=self.max_tokens, do_sample=False)
        asked = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        return self._processor.batch_decode(tokens[:, asked:], skip_special_tokens=True)[0].strip()

    def _inputs(self, picture: Image.Image) -> Any:
        if not getattr(self._processor, "chat_template", None):
            return self._processor(images=picture, return_tensors="pt")
        content = [{"type": "image", "image": picture}, {"type": "text", "text": self.instruction}]
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip
