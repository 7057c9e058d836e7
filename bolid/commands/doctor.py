"""`bolid doctor`: checks what works on this machine, and says how to fix the rest."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

EXTRAS = {  # module -> the extra that installs it, and its purpose
    "anny": ("people", "rendering people"),
    "scrapy": ("photos", "`bolid data collect`"),
    "pillow_heif": ("photos", "reading HEIC photos"),
    "ray": ("ray", "curation on many machines"),
    "snakemake": ("research", "chains of experiments (`workflow/`)"),
    "onnx": ("bundle", "making the bundle's face recogniser anew"),
}
LEAST_DISK = 10e9  # bytes; a run of SDXL's weights, photos and checkpoints


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        works: Whether it works; None if it is absent and optional.
        name: What was checked.
        text: The result, and how to fix it.
    """

    works: bool | None
    name: str
    text: str

    def __str__(self) -> str:
        mark = {True: "ok", False: "!!", None: "--"}[self.works]
        return f"{mark}  {self.name:11} {self.text}"


def doctor() -> str:
    """Checks Python, devices, precisions, EGL, the bundle, networks, extras and the disk.

    Returns:
        One line per check: `ok` works, `--` is optional and absent, `!!` has to be fixed; with what to do.
    """
    checks = (_versions, _devices, _rendering, _bundle, _networks, _extras, _disk)
    return "\n".join(str(finding) for check in checks for finding in check())


def _versions() -> Iterator[Finding]:
    import diffusers
    import torch

    import bolid

    python = platform.python_version()
    yield Finding(True, "BoLID", f"{bolid.__version__}, Python {python}, {platform.system()} {platform.machine()}")
    yield Finding(True, "libraries", f"torch {torch.__version__}, diffusers {diffusers.__version__}")


def _devices() -> Iterator[Finding]:
    import torch

    from bolid.tasks.precision import emulated

    slow = emulated(on_cpu=True)
    half = "bfloat16 would be emulated: it trains in float32 instead" if slow else "32-true, bf16-mixed"
    yield Finding(True, "cpu", f"{torch.get_num_threads()} threads; precisions: {'32-true; ' if slow else ''}{half}")
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        able = "32-true, 16-mixed" + (", bf16-mixed" if torch.cuda.is_bf16_supported() else "")
        yield Finding(True, f"cuda:{number}", f"{about.name}, {about.total_memory / 2**30:.0f} GiB; precisions: {able}")
    if torch.backends.mps.is_available():
        text = (
            "Apple's GPU: generation and training in 32-true; what lacks an operator there falls back to the CPU with "
        )
        yield Finding(True, "mps", f"{text}PYTORCH_ENABLE_MPS_FALLBACK=1")
    elif not torch.cuda.is_available():
        yield Finding(None, "gpu", "none: training on Stable Diffusion 1.5 or XL needs one, on the bundle not")


def _rendering() -> Iterator[Finding]:
    import ctypes.util

    if ctypes.util.find_library("EGL") is None:
        remedy = (
            "rendering people needs it (`apt-get install libegl1 libgl1-mesa-dri`); photographs and the rest do not"
        )
        yield Finding(None, "EGL", f"not here: {remedy}")
    else:
        yield Finding(True, "EGL", "here: people can be rendered, with the extra `people`")


def _bundle() -> Iterator[Finding]:
    from bolid.core.paths import BUNDLE, resolve

    folder = resolve(BUNDLE / "stable-diffusion").parent
    if (folder / "stable-diffusion/model_index.json").is_file():
        yield Finding(True, "bundle", f"the embedded networks, in {folder}")
    else:
        yield Finding(False, "bundle", f"no embedded networks in {folder}: install the wheel anew, or set BOLID_TINY")


def _networks() -> Iterator[Finding]:
    from bolid.vision.networks import NETWORKS, is_here

    here = [name for name in NETWORKS if is_here(name)]
    missing = [name for name in NETWORKS if name not in here]
    if here:
        yield Finding(True, "networks", f"for photographs: {', '.join(here)}")
    if missing:
        yield Finding(None, "networks", f"not here: {', '.join(missing)}; `bolid networks get NAME` fetches them")


def _extras() -> Iterator[Finding]:
    for module, (extra, purpose) in EXTRAS.items():
        if find_spec(module) is None:
            yield Finding(None, "extra", f"{purpose} needs `pip install 'bolid[{extra}]'`")
        else:
            yield Finding(True, "extra", f"{extra}: {purpose}")


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free > LEAST_DISK
    remedy = "" if enough else f": less than {LEAST_DISK / 1e9:.0f} GB; `bolid cache list` says what can go"
    yield Finding(enough, "disk", f"{free / 1e9:.0f} GB free here{remedy}")
