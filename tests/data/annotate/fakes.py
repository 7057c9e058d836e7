"""Networks that see colours, for tests: red columns are people, and a photo all of one blue ends the process."""

from __future__ import annotations

import os

import numpy as np
import torch
from PIL import Image

from bolid.data.annotate.networks import Networks
from bolid.vision.found import People


class Finder:
    """Finds as people the runs of columns that hold red, with every keypoint in the middle of their boxes."""

    fingerprint = "finder"

    def __init__(self) -> None:
        self.largest = self.seen = 0

    def people(self, pictures: torch.Tensor) -> list[People]:
        assert pictures.dtype == torch.float32
        assert 0 <= pictures.min() <= pictures.max() <= 1
        self.largest = max(self.largest, *pictures.shape[-2:])
        self.seen += len(pictures)
        return [self._one(picture) for picture in pictures]

    def _one(self, picture: torch.Tensor) -> People:
        if picture[2].min() > 0.9 and picture[0].max() < 0.1 and picture[1].min() > 0.9:
            os._exit(9)  # as a decoder or the system does that ends a process
        red = (picture[0] > 0.6) & (picture[1] < 0.4)
        columns = red.any(0).int()
        edges = torch.diff(columns, prepend=torch.zeros(1), append=torch.zeros(1))
        boxes = []
        for x0, x1 in zip(torch.where(edges > 0)[0].tolist(), torch.where(edges < 0)[0].tolist(), strict=True):
            rows = torch.where(red[:, x0:x1].any(1))[0]
            boxes.append([x0, int(rows.min()), x1, int(rows.max()) + 1])
        found = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        middle = torch.cat([(found[:, :2] + found[:, 2:]) / 2, torch.full((len(found), 1), 0.9)], 1)
        return People(middle[:, None].repeat(1, 17, 1), found, torch.ones(len(found)))


class Recogniser:
    """A face is the direction of the photo's brightest green."""

    fingerprint = "f" * 64

    def embed(self, rgb: np.ndarray, keypoints: np.ndarray) -> np.ndarray | None:
        turn = float(rgb[..., 1].max()) / 255 * np.pi / 2
        return np.array([np.cos(turn), np.sin(turn), 0, 0], np.float32)


class Outliner:
    """Takes what is red for the person."""

    fingerprint = "outliner"

    def silhouette(self, picture: Image.Image) -> np.ndarray:
        return np.where(np.asarray(picture)[..., 0] > 150, 255, 0).astype(np.uint8)


def load(device: str = "cpu") -> Networks:
    """What a process of its own can load, too."""
    return Networks(Finder(), Recogniser())


def photo(path, size=(64, 96), box=(20, 10, 50, 90), colour=(255, 0, 0), shade=0) -> None:
    """A person on a background of its own shade of blue, so that no two photos are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", size, (0, 0, shade or sum(map(ord, path.name + path.parent.name)) % 120))
    picture.paste(colour, box)
    picture.save(path)
