"""Person segmentation by any semantic segmentation network of transformers."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.vision.base import Frozen

PERSON = "person"


class PersonSegmenter(Frozen):
    """A frozen segmentation network that has a class for people, such as SegFormer trained on ADE20k or COCO.

    Args:
        path: Folder in the layout of transformers, or a hub id.

    Raises:
        BolidError: If there is no such network or it has no class for people.
    """

    def __init__(self, path: str) -> None:
        from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

        try:
            place = {"pretrained_model_name_or_path": str(resolve(path)), "use_safetensors": True}
            network = AutoModelForSemanticSegmentation.from_pretrained(**place)
            self._processor = AutoImageProcessor.from_pretrained(str(resolve(path)))
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise BolidError(
                f"{path}: no segmentation network that transformers can load ({reason}); give a folder or hub id such "
                "as nvidia/segformer-b0-finetuned-ade-512-512"
            ) from error
        super().__init__(network)
        labels = {name.lower(): int(number) for number, name in network.config.id2label.items()}
        if PERSON not in labels:
            some = ", ".join(list(labels)[:3])
            raise BolidError(f"{path} has no class {PERSON!r} (it knows {some}, …): give a network that knows people")
        self.person = labels[PERSON]

    @torch.no_grad()
    def silhouette(self, picture: Image.Image) -> np.ndarray:
        """Probability of a person per pixel: (H, W) uint8, 255 for certain."""
        shown = self._processor(images=picture, return_tensors="pt").pixel_values
        place = next(self.network.parameters())
        logits = self.network(pixel_values=shown.to(place)).logits.float()  # (1, classes, h, w)
        sized = F.interpolate(logits, (picture.height, picture.width), mode="bilinear", align_corners=False)
        return (sized.softmax(1)[0, self.person] * 255).round().byte().cpu().numpy()
