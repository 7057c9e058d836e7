"""How long a training batch takes to make on one core: 32 targets with up to 4 references at 96 x 64."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from bolid.core.schema import ImageRecord, Phrase
from bolid.data import CaptionDropout, IdentityDataModule
from bolid.data.manifest import write_manifest
from bolid.data.specs import SplitSpec

PEOPLE, PHOTOS, SIZE = 64, 5, (528, 352)


def make_photos(folder: Path) -> None:
    """Noise with a box and keypoints, at the size of rendered photos."""
    rng = np.random.default_rng(0)
    records = []
    for k in range(PEOPLE * PHOTOS):
        name = f"train/p{k // PHOTOS:06d}_{k % PHOTOS}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (*SIZE, 3), np.uint8)).save(folder / name, compress_level=1)
        keypoints = np.float32(rng.uniform(100, 300, (17, 3)) * [1, 1, 0] + [0, 0, 1])
        phrases = [Phrase(kind, kind) for kind in ("gender", "build", "waist", "hair", "clothes", "pose")]
        face = np.float32(np.ones(512) / 512**0.5)
        box = np.float32([90, 60, 310, 480])
        records.append(ImageRecord(name, f"p{k // PHOTOS}", phrases, keypoints, box, face_embedding=face))
    write_manifest(folder, records)


def main() -> None:
    """Prints the time of making working copies, and the median time of a batch."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        make_photos(Path(folder))
        spec = SplitSpec(caption_dropout=CaptionDropout(), samples_per_epoch=32 * 40)
        data = IdentityDataModule(Path(folder), train=spec)
        start = time.perf_counter()
        data.prepare_data()
        data.setup("fit")
        print(f"working copies: {(time.perf_counter() - start) / PEOPLE / PHOTOS * 1e3:.1f} ms a photo")
        times = []
        batches = iter(data.train_dataloader())
        while True:
            start = time.perf_counter()
            if next(batches, None) is None:
                break
            times.append(time.perf_counter() - start)
        print(f"a batch of 32: {np.median(times) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
