"""What a test generates and measures."""

from __future__ import annotations

from dataclasses import dataclass, field

from bolid.methods.base import Method, Sampling
from bolid.metrics.base import ImageMetric


@dataclass
class Evaluation:
    """Any method by any metric.

    Attributes:
        methods: What generates, by name; text alone by default. Names are headings of the report and the sheet.
        metrics: What measures, by name, each once per method.
        sampling: How images are generated.
    """

    methods: dict[str, Method | None] = field(default_factory=dict)
    metrics: dict[str, ImageMetric | None] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)


TEXT_ALONE = Evaluation()
