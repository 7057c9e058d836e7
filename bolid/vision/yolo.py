"""Importing ultralytics without what importing it changes in the rest of the process."""

from __future__ import annotations

import os
from functools import cache
from tempfile import TemporaryDirectory
from types import ModuleType

import torch

# Read when ultralytics is imported: it must neither call home nor install packages, nor `eval` what a file says.
_SETTINGS = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "ULTRALYTICS_SAFE_LOAD": "1"}


@cache
def _settings_folder() -> TemporaryDirectory:
    """Where ultralytics writes settings with an id of the machine when it is imported; gone with the process."""
    return TemporaryDirectory(prefix="ultralytics-", ignore_cleanup_errors=True)


@cache
def import_ultralytics() -> ModuleType:
    """`import ultralytics` offline, keeping the threads of torch, OpenMP and OpenCV and how all of them handle files.

    Its `PIL.Image.open`, for one, answers a broken photo by asking for another package.
    """
    import cv2
    from PIL import Image

    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("YOLO_CONFIG_DIR", _settings_folder().name)
    openmp, patched = os.environ.get("OMP_NUM_THREADS"), [(torch, "save"), (Image, "open")]
    patched += [(cv2, name) for name in ("imread", "imwrite", "imshow")]
    originals = [(module, name, getattr(module, name)) for module, name in patched]
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        import ultralytics
        import ultralytics.nn.tasks
    finally:
        for original in originals:
            setattr(*original)
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)
        if openmp is None:  # else every child process would inherit the single thread ultralytics asks for
            os.environ.pop("OMP_NUM_THREADS", None)
    return ultralytics
