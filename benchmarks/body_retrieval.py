"""Whether c_body tells real people apart where colours do not.

    python benchmarks/body_retrieval.py PHOTOS [--encoder FOLDER]

PHOTOS holds a folder of photographs for each person. Every photo gets another background, the person other colours (of
skin and hair, too) and another light; then each photo's nearest other one is sought by the cosine of centred c_body.
Beside it the same by a histogram of colours, which must stay at chance, and how much of a body photos show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from keep import keep
from PIL import Image
from tqdm import tqdm

from bolid.core.photos import open_photo
from bolid.data.nuisance import other_background, recoloured
from bolid.models.body_vae import load_body_vae
from bolid.models.crop import crop_to_person
from bolid.vision.blazepose import BlazePose, Landmarks

HIPS, KNEES = (11, 12), (13, 14)
SIDE = 640  # pixels that photos are made smaller to


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--encoder", default="data/tiny/body_vae_photos")
    parser.add_argument("--rounds", type=int, default=10, help="draws of backgrounds and colours")
    parser.add_argument("--as_they_are", action="store_true", help="photos as they are: colours and backgrounds tell")
    parser.add_argument("--keep", action="store_true", help="write the numbers to benchmarks/results/photos.json")
    parser.add_argument("--sheet", type=Path, help="write the changed photos of the first round")
    arguments = parser.parse_args()
    people, seen = read(arguments.photos)
    chance = np.mean([people.count(who) - 1 for who in people]) / (len(people) - 1)
    hits: dict[str, list[np.ndarray]] = {"c_body": [], "colours": []}
    for number in range(arguments.rounds):
        rng = np.random.default_rng(number)
        shown = [pixels if arguments.as_they_are else changed(pixels, found, rng) for pixels, found in seen]
        if number == 0 and arguments.sheet:
            sheet(shown, arguments.sheet)
        codes = encode(arguments.encoder, shown, [found for _, found in seen])
        histograms = np.stack([histogram(pixels) for pixels in shown])
        hits["c_body"].append(found_again(codes, people))
        hits["colours"].append(found_again(histograms - histograms.mean(0), people))
    visible = np.stack([found.keypoints[:, 2] > 0.5 for _, found in seen])
    print(f"{len(people)} photos of {len(set(people))} people; hips in {visible[:, HIPS].all(1).mean():.2f} of them, "
          f"knees in {visible[:, KNEES].all(1).mean():.2f}; chance {chance:.3f}")  # fmt: skip
    for name, rounds in hits.items():
        low, high = interval(np.stack(rounds).mean(0), people)
        print(f"{name:8} {np.mean(rounds):.3f} [{low:.3f}, {high:.3f}]")
    if arguments.keep:
        about = f"{len(people)} photos of {len(set(people))} people, background and colours changed"
        numbers = {"body_retrieval_real": (np.mean(hits["c_body"]), about), "body_retrieval_chance": (chance, about)}
        keep(numbers, f"python benchmarks/body_retrieval.py PHOTOS --keep --encoder {arguments.encoder}")


def read(folder: Path) -> tuple[list[str], list[tuple[np.ndarray, Landmarks]]]:
    """People's names, and of each photo its pixels and what BlazePose finds in it; photos of nobody are left out."""
    network, people, seen = BlazePose("heavy"), [], []
    for path in tqdm(sorted(p for p in folder.glob("*/*") if p.is_file()), unit="photo"):
        photo = open_photo(path)
        photo.thumbnail((SIDE, SIDE))
        pixels = np.asarray(photo)
        found = network.read(pixels)
        if found:
            people.append(path.parent.name)
            seen.append((pixels, found[0]))
    return people, seen


def changed(pixels: np.ndarray, found: Landmarks, rng: np.random.Generator) -> np.ndarray:
    """The person before another background, in other colours, in another light: (H, W, 3) uint8."""
    person = found.silhouette[..., None] / np.float32(255)
    around = other_background(*pixels.shape[:2], rng)
    shown = around + (recoloured(pixels, rng) - around) * person
    light = rng.uniform(0.6, 1.4) * rng.uniform(0.8, 1.2, 3)  # exposure and white balance
    return (shown * light).round().clip(0, 255).astype(np.uint8)


def encode(folder: str, shown: list[np.ndarray], found: list[Landmarks]) -> np.ndarray:
    """Centred c_body of each photo alone: (N, d)."""
    encoder, codes = load_body_vae(folder).eval(), []
    for pixels, person in zip(shown, found, strict=True):
        keypoints = torch.from_numpy(person.keypoints.copy())[None]
        limit = torch.tensor([pixels.shape[1], pixels.shape[0]])
        inside = ((keypoints[..., :2] >= 0) & (keypoints[..., :2] < limit)).all(-1) & (keypoints[..., 2] > 0.1)
        keypoints = torch.where(inside[..., None], keypoints, 0.0)
        rows, columns = np.nonzero(person.silhouette > 127)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0, 0, 0, 0]
        picture = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        crop, placed = crop_to_person(picture, keypoints, torch.tensor([edges]), tuple(encoder.config.size))
        with torch.no_grad():
            posterior = encoder.encode(crop[None], placed[None], torch.ones(1, 1, dtype=torch.bool))
        codes.append(posterior.mean[0] - encoder.mean_code)
    return torch.stack(codes).numpy()


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Shares of 4 x 4 x 4 colours: (64,)."""
    counts = cv2.calcHist([pixels], [0, 1, 2], None, [4] * 3, [0, 256] * 3).flatten()
    return counts / counts.sum()


def found_again(codes: np.ndarray, people: list[str]) -> np.ndarray:
    """(N,) whether the nearest other photo, by cosine, is of the same person."""
    unit = codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    return np.array([people[k] == who for k, who in zip(near.argmax(1), people, strict=True)], float)


def interval(hits: np.ndarray, people: list[str], count: int = 10_000) -> tuple[float, float]:
    """95 % bootstrap interval over photos, within each person: so few people cannot be drawn anew."""
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(np.array(people) == who) for who in sorted(set(people))]
    means = [np.concatenate([hits[rng.choice(own, len(own))] for own in rows]).mean() for _ in range(count)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def sheet(shown: list[np.ndarray], path: Path) -> None:
    """All photos, eight in a row."""
    tiles = [np.asarray(Image.fromarray(pixels).resize((96, 144))) for pixels in shown]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 8)
    Image.fromarray(np.concatenate([np.concatenate(tiles[k : k + 8], 1) for k in range(0, len(tiles), 8)])).save(path)


if __name__ == "__main__":
    main()
