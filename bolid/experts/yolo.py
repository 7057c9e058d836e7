"""Importing ultralytics without what importing it changes in the rest of the process."""

from __future__ import annotations

import os
from functools import cache
from types import ModuleType

import torch

# Read when ultralytics is imported: it must neither call home nor install packages, nor `eval` what a file says.
_SETTINGS = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "ULTRALYTICS_SAFE_LOAD": "1"}


@cache
def import_ultralytics() -> ModuleType:
    """`import ultralytics` offline, keeping the threads of torch, OpenMP and OpenCV and torch's own `save`."""
    import cv2

    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    openmp, save = os.environ.get("OMP_NUM_THREADS"), torch.save
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        import ultralytics
        import ultralytics.nn.tasks
    finally:
        torch.save = save
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)
        if openmp is None:  # else every child process would inherit the single thread ultralytics asks for
            os.environ.pop("OMP_NUM_THREADS", None)
    return ultralytics
