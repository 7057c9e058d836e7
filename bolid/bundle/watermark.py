"""`bolid bundle watermark`: trains the small network that finds watermarks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.backgrounds import Backgrounds, backgrounds, crop, spoilt, variant
from bolid.bundle.marks import FAINTEST, SEEN, mark
from bolid.bundle.stamps import stamp
from bolid.core.safe_io import atomic_path
from bolid.vision.watermark import ACCURACY, STRIDE, WEIGHTS, WatermarkNetwork, photo_logits, prepared

SIZES = ((256, 16), (384, 8))  # side of the crops and size of the batch, in turn
RATE = 2e-3
HELD = ("DejaVuSerif", "STIX", "LiberationSerif")  # fonts that training never sees
FALSE_ALARMS = 0.01  # of unmarked held-out photos of each kind, by which the threshold is chosen
VARIANTS = 200  # held-out images of each kind
STATE, SAVED = "fit.ckpt", 100  # checkpoint that a fit resumes from, and its interval in steps


def train_watermark(photos: Path, out: Path = Path("data/tiny/watermark"), minutes: float = 30.0, seed: int = 0) -> str:
    """Trains the watermark network and measures it on people, photographs, fonts and marks that it has not seen.

    Crops of the photos, of the sample photographs of scikit-image, scikit-learn and matplotlib, and of made-up scenes
    are marked by texts, logos, strips and patterns of many sizes and opacities; the network should detect every cell of
    16 x 16 pixels that a mark changes visibly. Print in the scene (a page, a name plate) counts as unmarked.

    Args:
        photos: Folder of unmarked photos without text: rendered ones of 1024 pixels, such as `bolid data render`
            writes, and photographs of 300 pixels or more. Crops of them, half of them marked, are trained on.
        out: Output folder of the weights.
        minutes: Processor time of one core. After 35 (10,100 steps) the network was right on .90 of held-out
            rendered people and .78 of held-out photographs.
        seed: Seed of crops, marks and weights.

    Returns:
        Its accuracy on held-out images.

    Raises:
        BolidError: If there are too few photos.
    """
    torch.manual_seed(seed)
    found = backgrounds(photos)
    network = WatermarkNetwork()
    fit(network, found.known, minutes * 60, seed, out / STATE)
    threshold, kinds = measure(network.eval(), found, seed)
    save(network, threshold, out, kinds)
    (out / STATE).unlink(missing_ok=True)
    return f"{out / WEIGHTS}: " + "; ".join(f"{kind}: {counts}" for kind, counts in kinds.items())


@dataclass(frozen=True)
class Counts:
    """Results on unmarked and equally many marked held-out images.

    Attributes:
        pictures: Number of unmarked ones.
        caught: Share of marked ones at or above the threshold.
        lost: Share of unmarked ones there.
        at_one_percent: Share of marked ones that are caught where 1 % of the unmarked ones of their kind are lost.
    """

    pictures: int
    caught: float
    lost: float
    at_one_percent: float

    @property
    def accuracy(self) -> float:
        """Share of both that is classified correctly."""
        return (self.caught + 1 - self.lost) / 2

    def __str__(self) -> str:
        """In words."""
        return (
            f"accuracy {self.accuracy:.3f} on {self.pictures} unmarked and as many marked held-out images (caught "
            f"{self.caught:.3f}, false alarms {self.lost:.3f}; at 1 % false alarms caught {self.at_one_percent:.3f})"
        )


def fonts(held: bool) -> list[Path]:
    """Fonts with Latin letters of matplotlib and of the system: those held out, or the others."""
    import matplotlib
    from matplotlib.font_manager import findSystemFonts

    own = (Path(matplotlib.get_data_path()) / "fonts/ttf").glob("*.ttf")
    files = {path.name: path for path in [*map(Path, findSystemFonts()), *own]}
    names = ("DejaVu", "STIXGeneral", "cmr", "cmb", "cmss", "cmtt", "Liberation")
    latin = [path for name, path in sorted(files.items()) if name.startswith(names) and path.suffix == ".ttf"]
    return [p for p in latin if p.stem.startswith(HELD) == held and "Display" not in p.stem and "Math" not in p.stem]


def examples(known: dict[str, list[np.ndarray]], seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: (B, 3, S, S) in 0..1, and (B, S / 16, S / 16) by how many grey levels a mark changes a cell."""
    rng, some = np.random.default_rng(seed), fonts(held=False)
    while True:
        for side, size in SIZES:
            pictures, changes = zip(*(example(known, side, rng, some) for _ in range(size)), strict=True)
            cells = F.max_pool2d(torch.from_numpy(np.stack(changes))[:, None], STRIDE)[:, 0]
            yield torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255, cells


def example(
    known: dict[str, list[np.ndarray]], side: int, rng: np.random.Generator, some: Sequence[Path]
) -> tuple[np.ndarray, np.ndarray]:
    """A crop, in half of the cases marked, and how much the mark changes each pixel."""
    shown, change = crop(known, side, rng), np.zeros((side, side), np.float32)
    if rng.random() < 0.5:
        shown, change = mark(shown, rng, some)
    return spoilt(shown, rng), change


def fit(network: WatermarkNetwork, known: dict[str, list[np.ndarray]], seconds: float, seed: int, file: Path) -> None:
    """Trains for so many seconds of processor time; a run that was cut off goes on from its `file`, kept beside."""
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    network.to(memory_format=torch.channels_last)
    step, before = resumed(network, optimiser, file)
    start, total = time.process_time() - before, 0.0
    for pictures, cells in examples(known, seed + step):
        spent = (time.process_time() - start) / seconds
        if spent >= 1:
            return
        optimiser.param_groups[0]["lr"] = RATE * min(1, step / 100) * max(0.01, np.cos(np.pi / 2 * spent))
        loss = loss_of(network, pictures, cells)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step, total = step + 1, total + loss.item()
        if step % SAVED == 0:
            print(f"step {step}, {100 * spent:.0f} % of the time, loss {total / SAVED:.3f}", flush=True)
            keep(network, optimiser, file, step, time.process_time() - start)
            total = 0.0


def keep(network: WatermarkNetwork, optimiser: torch.optim.Optimizer, file: Path, step: int, seconds: float) -> None:
    """Writes what a fit goes on from."""
    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds}
    with atomic_path(file) as part:
        torch.save(state, part)


def resumed(network: WatermarkNetwork, optimiser: torch.optim.Optimizer, file: Path) -> tuple[int, float]:
    """Steps and seconds that an earlier fit has behind it, its state taken over; zeros without one."""
    if not file.is_file():
        return 0, 0.0
    state = torch.load(file, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    print(f"goes on from step {state['step']} of {file}", flush=True)
    return state["step"], state["seconds"]


def loss_of(network: WatermarkNetwork, pictures: Tensor, cells: Tensor) -> Tensor:
    """Cross-entropy of cells that are clearly marked or clearly not, and of whole crops."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(pictures.to(memory_format=torch.channels_last))
    logits, seen = logits.float(), (cells > SEEN).float()
    sure = (cells > SEEN) | (cells < FAINTEST)
    of_cells = F.binary_cross_entropy_with_logits(logits, seen, sure.float())
    whole, any_seen = photo_logits(logits), seen.flatten(1).amax(1)
    clear = (any_seen > 0) | (cells.flatten(1).amax(1) < FAINTEST)
    return of_cells + 0.2 * F.binary_cross_entropy_with_logits(whole, any_seen, clear.float())


def measure(network: WatermarkNetwork, found: Backgrounds, seed: int) -> tuple[float, dict[str, Counts]]:
    """The threshold, and by kind what the network makes of held-out images, plain and stamped in held-out fonts."""
    plain, stamped = {}, {}
    for kind, held in found.held.items():
        plain[kind], stamped[kind] = held_out(network, held, seed + 1)
    limits = {kind: float(np.quantile(logits, 1 - FALSE_ALARMS)) for kind, logits in plain.items()}
    threshold = max(limits.values())
    counts = {}
    for kind, limit in limits.items():
        caught, at = (float((stamped[kind] >= t).mean()) for t in (threshold, limit))
        counts[kind] = Counts(len(plain[kind]), caught, float((plain[kind] >= threshold).mean()), at)
    return threshold, counts


def held_out(network: WatermarkNetwork, held: Sequence[np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of variants of held-out images, and of the same stamped."""
    rng, some = np.random.default_rng(seed), fonts(held=True)
    plain, stamped = [], []
    for k in range(VARIANTS):
        picture = variant(held[k % len(held)], rng)
        marked = np.asarray(stamp(Image.fromarray(picture), rng, some)[0])
        plain.append(logit(network, spoilt(picture, rng)))
        stamped.append(logit(network, spoilt(marked, rng)))
    return np.array(plain), np.array(stamped)


@torch.inference_mode()
def logit(network: WatermarkNetwork, picture: np.ndarray) -> float:
    """A photo's, at the size at which it is looked at."""
    return float(photo_logits(network(prepared(picture)))[0])


def save(network: WatermarkNetwork, threshold: float, out: Path, kinds: dict[str, Counts]) -> None:
    """Writes the weights in half precision, and the accuracy, which verdicts state."""
    from safetensors.torch import save_file

    weights = {k: v.half().contiguous() for k, v in network.state_dict().items() if "num_batches" not in k}
    accuracy = float(np.mean([counts.accuracy for counts in kinds.values()]))
    more = {"format": "pt", ACCURACY: f"{accuracy:.3f}"}
    with atomic_path(out / WEIGHTS) as part:
        save_file(weights | {"threshold": torch.tensor(threshold)}, part, more)
