"""Interface of methods: `enroll` turns references into subjects, `generate` makes images of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import References, TrainingBatch
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.pipelines.request import check_request

Subject: TypeAlias = Any  # a method's own representation of one person's references


@dataclass
class Sampling:
    """Sampling settings of tests and sample grids.

    Attributes:
        steps: Number of denoising steps.
        guidance_scale: s in ε = ε_uncond + s·(ε_cond − ε_uncond); 1 is off.
        images_per_prompt: Number of images per prompt in tests, each from its own noise.
        scheduler: Class name of a diffusers scheduler; by default the backbone's own.
    """

    steps: int = 20
    guidance_scale: float = 3.0
    images_per_prompt: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "images_per_prompt"):
            if getattr(self, name) < 1:
                raise BolidError(f"sampling: {name}={getattr(self, name)} must be 1 or more")
        check_request((None, None), self.steps, self.guidance_scale, None, (), ())


class Method(ABC):
    """Base class of methods that generate images of a person; the configuration gives a method its name.

    A method that needs further networks loads them itself, and moves them to `self.pipeline`'s device to generate.
    """

    pipeline: BoLIDPipeline
    sampling: Sampling
    least_people: ClassVar[int] = 1  # minimum number of people in a test

    @property
    def uses(self) -> frozenset[str]:
        """Names of what it is conditioned on, such as "face"; empty for text alone."""
        return frozenset({"photos"})

    def prepare(self, pipeline: BoLIDPipeline, sampling: Sampling) -> None:
        """Receives the networks under test and the sampling settings, once, before anything is generated.

        Raises:
            BolidError: If its own settings do not fit them.
        """
        self.pipeline, self.sampling = pipeline, sampling

    def begin(self, samples: Sequence[TrainingBatch]) -> None:  # noqa: B027  most methods need no preparation
        """Called at the start of a test with its samples.

        Raises:
            BolidError: If it cannot generate for them.
        """

    @abstractmethod
    def enroll(self, references: References) -> list[Subject]:
        """The subjects of B people."""

    def subjects(self, batch: TrainingBatch) -> list[Subject]:
        """The subjects of a test's samples: by default the people of their references; controls override it."""
        return self.enroll(batch.references)

    @abstractmethod
    def generate(
        self, prompts: list[str], subjects: Sequence[Subject], seeds: list[int], size: tuple[int, int]
    ) -> Tensor:
        """Images of B subjects.

        Args:
            prompts: B prompts.
            subjects: B subjects of `enroll` or `subjects`.
            seeds: B seeds; images of the same seed share their noise across methods.
            size: Height and width in pixels.

        Returns:
            (B, 3, H, W) in 0..1.
        """
