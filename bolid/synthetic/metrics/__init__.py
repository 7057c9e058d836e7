"""Metrics that need ground truth of rendered people: attributes and proportions."""

from bolid.synthetic.metrics.adherence import PromptAdherence
from bolid.synthetic.metrics.body_shape import BodyShape
from bolid.synthetic.metrics.clothes_leak import ClothesLeak
from bolid.synthetic.metrics.graded_words import GradedWords
from bolid.synthetic.metrics.shape_probe import BuildProbe, RatiosProbe

__all__ = ["BodyShape", "BuildProbe", "ClothesLeak", "GradedWords", "PromptAdherence", "RatiosProbe"]
