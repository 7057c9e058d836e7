"""`bolid bundle watermark`: trains the small network that finds watermarks, on rendered and made-up photos."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.stamps import stamp
from bolid.core.errors import BolidError
from bolid.core.photos import SUFFIXES, open_photo
from bolid.core.safe_io import atomic_path
from bolid.vision.watermark import SIDE, STRIDE, WEIGHTS, WatermarkNetwork, photo_logits, prepared

CROP = 256  # pixels of a training picture
BATCH = 16
TEXTURES = 60
HELD = ("DejaVuSerif", "STIX")  # fonts, and every eighth photo, that training never sees
FALSE_ALARMS = 0.005  # of unmarked held-out photos, by which the threshold is chosen


def train_watermark(photos: Path, out: Path = Path("data/tiny/watermark"), minutes: float = 10.0, seed: int = 0) -> str:
    """Trains the watermark network and measures it on photos and fonts that it has not seen.

    Args:
        photos: Folder of unmarked photos of 512 pixels or more, such as `bolid data render` writes; the sample photos
            of scikit-image and scikit-learn and made-up textures are added.
        out: Where its weights go.
        minutes: Of one core.
        seed: Of stamps and weights.

    Returns:
        Its accuracy on the held-out photos.

    Raises:
        BolidError: If there are too few photos.
    """
    torch.manual_seed(seed)
    known, held = backgrounds(photos)
    network = WatermarkNetwork()
    fit(network, known, minutes * 60, seed)
    threshold, told = measure(network.eval(), held, seed)
    save(network, threshold, out)
    return f"{out / WEIGHTS}: {told}"


def backgrounds(folder: Path) -> tuple[list[Image.Image], list[Image.Image]]:
    """Photos with a shorter side of `SIDE`, for training and held out."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES and "masks" not in p.parts)
    if len(files) < 16:
        raise BolidError(f"{folder}: {len(files)} photos are too few to train on; give a folder of 16 or more")
    found = [fitted(open_photo(path)) for path in files]
    made = [texture(np.random.default_rng([k])) for k in range(TEXTURES)]
    return samples() * 4 + made + [p for k, p in enumerate(found) if k % 8], found[::8]


def samples() -> list[Image.Image]:
    """Photographs without text that packages ship."""
    import skimage
    from sklearn.datasets import load_sample_images

    names = ["astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "horse", "moon"]
    files = [Path(skimage.__file__).parent / "data" / f"{name}.png" for name in names]
    found = [Image.open(path).convert("RGB") for path in files if path.is_file()]
    return [fitted(p) for p in [*found, *map(Image.fromarray, load_sample_images().images)]]


def fitted(picture: Image.Image) -> Image.Image:
    """With a shorter side of `SIDE` pixels."""
    scale = SIDE / min(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)


def fonts(held: bool) -> list[Path]:
    """Fonts with Latin letters that matplotlib ships: those held out, or the others."""
    import matplotlib

    files = sorted((Path(matplotlib.get_data_path()) / "fonts/ttf").glob("*.ttf"))
    latin = [p for p in files if p.stem.startswith(("DejaVu", "STIXGeneral", "cmr", "cmb", "cmss", "cmtt"))]
    return [p for p in latin if p.stem.startswith(HELD) == held and "Display" not in p.stem]


def texture(rng: np.random.Generator) -> Image.Image:
    """A made-up picture without text: noise of a natural spectrum under shapes, stripes and grids."""
    axis = np.fft.fftfreq(SIDE)
    power = np.hypot(axis[:, None], axis[None, : SIDE // 2 + 1]) + 1 / SIDE
    spectrum = rng.normal(size=(3, *power.shape)) + 1j * rng.normal(size=(3, *power.shape))
    noise = np.fft.irfft2(spectrum / power ** rng.uniform(0.8, 1.8), (SIDE, SIDE)).transpose(1, 2, 0)
    noise = noise / noise.std() * rng.uniform(5, 45) + rng.uniform(30, 225, 3)
    picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 14))):
        shape(draw, rng)
    return picture.filter(ImageFilter.GaussianBlur(float(rng.choice([0, 0, 0.7, 1.5]))))


def shape(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """An ellipse, polygon, line, row of bars or grid, of any colour."""
    colour, kind = tuple(int(c) for c in rng.integers(0, 256, 3)), int(rng.integers(5))
    x0, y0 = (int(v) for v in rng.integers(-100, SIDE, 2))
    wide, high = (int(v) for v in rng.integers(8, 300, 2))
    if kind == 0:
        draw.ellipse((x0, y0, x0 + wide, y0 + high), colour)
    elif kind == 1:
        draw.polygon([tuple(int(v) for v in p) for p in rng.integers(-50, SIDE + 50, (4, 2))], colour)
    elif kind == 2:
        draw.line((x0, y0, x0 + wide, y0 + high), colour, int(rng.integers(1, 12)))
    else:
        step, thick = int(rng.integers(6, 60)), int(rng.integers(1, 6))
        for x in range(x0, x0 + wide, step):
            draw.line((x, y0, x, y0 + high), colour, thick)
        for y in range(y0, y0 + high, step) if kind == 4 else ():
            draw.line((x0, y, x0 + wide, y), colour, thick)


def spoilt(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As a gallery would show it: other brightness and contrast, some blur, JPEG."""
    shown = (np.asarray(picture, np.float32) - 128) * rng.uniform(0.6, 1.2) + 128 + rng.uniform(-35, 35)
    shown += rng.normal(0, rng.choice([0.0, 0.0, 3.0, 7.0]), shown.shape)
    changed = Image.fromarray(shown.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        changed = changed.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9))))
    file = io.BytesIO()
    changed.save(file, "JPEG", quality=int(rng.integers(55, 97)))
    return Image.open(file).convert("L")


def examples(known: Sequence[Image.Image], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: (B, 1, CROP, CROP) grey in 0..1, and (B, CROP / 16, CROP / 16) how much each cell is covered."""
    rng, some = np.random.default_rng(seed), fonts(held=False)
    while True:
        pictures, covers = zip(*(example(known, rng, some) for _ in range(BATCH)), strict=True)
        cells = F.max_pool2d(torch.from_numpy(np.stack(covers))[:, None], STRIDE)[:, 0]
        yield torch.from_numpy(np.stack(pictures))[:, None].float() / 255, cells


def example(
    known: Sequence[Image.Image], rng: np.random.Generator, some: Sequence[Path]
) -> tuple[np.ndarray, np.ndarray]:
    """A crop of a photo or texture, mostly marked, and how much of each pixel is covered."""
    picture = known[int(rng.integers(len(known)))]
    cover = np.zeros(picture.size[::-1], np.float32)
    if rng.random() < 0.6:
        picture, cover = stamp(picture, rng, some)
    x, y = corner(cover, rng)
    cut = (x, y, x + CROP, y + CROP)
    return np.asarray(spoilt(picture.crop(cut), rng)), cover[y : y + CROP, x : x + CROP]


def corner(cover: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Where to cut: anywhere in unmarked pictures, around some stamped pixel in others."""
    limit = np.array(cover.shape) - CROP
    marked = np.argwhere(cover > 0.5)
    if len(marked):
        at = marked[int(rng.integers(len(marked)))] - rng.integers(16, CROP - 16, 2)
        y, x = np.clip(at, 0, limit)
    else:
        y, x = (int(rng.integers(0, side + 1)) for side in limit)
    return int(x), int(y)


def fit(network: WatermarkNetwork, known: Sequence[Image.Image], seconds: float, seed: int) -> None:
    """Trains for so many seconds of this process."""
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.02)
    start, step, total = time.process_time(), 0, 0.0
    for pictures, cells in examples(known, seed):
        spent = (time.process_time() - start) / seconds
        if spent >= 1:
            return
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1, step / 50) * max(0.01, np.cos(np.pi / 2 * spent))
        logits = network(pictures)
        known_cells = (cells > 0.3) | (cells < 0.01)
        loss = F.binary_cross_entropy_with_logits(logits, (cells > 0.3).float(), known_cells.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step, total = step + 1, total + loss.item()
        if step % 50 == 0:
            print(f"step {step}, {100 * spent:.0f} % of the time, loss {total / 50:.3f}", flush=True)
            total = 0.0


@torch.inference_mode()
def measure(network: WatermarkNetwork, held: Sequence[Image.Image], seed: int) -> tuple[float, str]:
    """The threshold, and what the network makes of held-out photos, plain and with stamps in held-out fonts."""
    rng, some = np.random.default_rng(seed + 1), fonts(held=True)
    unmarked = [*held, *(texture(rng) for _ in held)] * 2
    marked = [stamp(picture, rng, some)[0] for picture in unmarked]
    plain, stamped = (torch.stack([logit(network, spoilt(p, rng)) for p in ps]) for ps in (unmarked, marked))
    threshold = float(plain.quantile(1 - FALSE_ALARMS))
    caught, lost = (stamped >= threshold).float().mean(), (plain >= threshold).float().mean()
    accuracy = (caught + 1 - lost) / 2
    return threshold, (
        f"accuracy {accuracy:.3f} on {len(plain)} unmarked and {len(stamped)} marked held-out pictures "
        f"(caught {caught:.3f}, false alarms {lost:.3f})"
    )


def logit(network: WatermarkNetwork, picture: Image.Image) -> Tensor:
    """A photo's, at the size at which it is looked at."""
    return photo_logits(network(prepared(np.asarray(picture.convert("RGB")))))[0]


def save(network: WatermarkNetwork, threshold: float, out: Path) -> None:
    """Writes the weights in half precision."""
    from safetensors.torch import save_file

    weights = {k: v.half().contiguous() for k, v in network.state_dict().items() if "num_batches" not in k}
    with atomic_path(out / WEIGHTS) as part:
        save_file(weights | {"threshold": torch.tensor(threshold)}, part)
