"""Imports ultralytics without its side effects on the process."""

from __future__ import annotations

import os
from functools import cache
from tempfile import TemporaryDirectory
from types import ModuleType

import torch

# Read when ultralytics is imported: it must not send statistics, install packages, or `eval` content of files.
_SETTINGS = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "ULTRALYTICS_SAFE_LOAD": "1"}


@cache
def _settings_folder() -> TemporaryDirectory:
    """A temporary folder for the settings that ultralytics writes on import, with an id of the machine."""
    return TemporaryDirectory(prefix="ultralytics-", ignore_cleanup_errors=True)


@cache
def import_ultralytics() -> ModuleType:
    """`import ultralytics` offline, restoring the thread counts of torch, OpenMP and OpenCV and their file functions.

    For example, it patches `PIL.Image.open` to request another package for a broken photo.
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
        if openmp is None:  # else child processes inherit ultralytics' single thread
            os.environ.pop("OMP_NUM_THREADS", None)
    return ultralytics
