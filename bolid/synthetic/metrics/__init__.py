"""Scores that know the rendered world: its captions' vocabulary and its people's true proportions."""

from bolid.synthetic.metrics.adherence import PromptAdherence
from bolid.synthetic.metrics.body_shape import BodyShape
from bolid.synthetic.metrics.clothes_leak import ClothesLeak
from bolid.synthetic.metrics.graded_words import GradedWords

__all__ = ["BodyShape", "ClothesLeak", "GradedWords", "PromptAdherence"]
