"""Protocol of a test: methods, metrics and sampling."""

from __future__ import annotations

from dataclasses import dataclass, field

from bolid.methods.base import Method, Sampling
from bolid.metrics.base import ImageMetric


@dataclass
class Evaluation:
    """Protocol of a test.

    Attributes:
        methods: Methods by name; by default text alone. Names are headings of the report and the sheet.
        metrics: Metrics by name, each computed per method.
        sampling: Sampling settings.
    """

    methods: dict[str, Method | None] = field(default_factory=dict)
    metrics: dict[str, ImageMetric | None] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)


TEXT_ALONE = Evaluation()
