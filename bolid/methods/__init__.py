"""Methods that generate images of a subject: BoLID's adapter, controls, and rivals."""

from bolid.methods.base import Method, Sampling, Subject
from bolid.methods.bolid import Adapter
from bolid.methods.controls import Reconstruction, ShuffledIdentity, TextOnly
from bolid.methods.prior import Prior

__all__ = ["Adapter", "Method", "Prior", "Reconstruction", "Sampling", "ShuffledIdentity", "Subject", "TextOnly"]
