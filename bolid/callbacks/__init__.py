"""Lightning callbacks."""

from bolid.callbacks.ema import EMA
from bolid.callbacks.export import Export
from bolid.callbacks.finite import SkipNonFinite
from bolid.callbacks.learning_rate import LearningRate
from bolid.callbacks.predictions import WritePictures
from bolid.callbacks.report import WriteReport
from bolid.callbacks.samples import SampleGrid
from bolid.callbacks.throughput import Throughput

__all__ = [
    "EMA",
    "Export",
    "LearningRate",
    "SampleGrid",
    "SkipNonFinite",
    "Throughput",
    "WritePictures",
    "WriteReport",
]
