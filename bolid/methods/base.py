"""What every method offers: subjects are enrolled from references, images are generated of them."""

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

Subject: TypeAlias = Any  # whatever a method makes of one person's references


@dataclass
class Sampling:
    """How images are generated in tests and sample grids.

    Attributes:
        steps: Denoising steps.
        guidance_scale: s in ε = ε_uncond + s·(ε_cond − ε_uncond); 1 is off.
        images_per_prompt: Images of each prompt in tests, each from noise of its own.
        scheduler: Which of diffusers, by the name of its class; the backbone's own by default.
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
    """A way to generate images of a person. Its name is the one that the configuration gives it.

    Methods that need other networks than the task's backbone and conditions bring their own, and move them to
    `self.pipeline`'s device when they generate.
    """

    pipeline: BoLIDPipeline
    sampling: Sampling
    least_people: ClassVar[int] = 1  # whom a test must show for it to work

    @property
    def uses(self) -> frozenset[str]:
        """What of a person it is conditioned on, by names; empty for nothing."""
        return frozenset({"photos"})

    def prepare(self, pipeline: BoLIDPipeline, sampling: Sampling) -> None:
        """Receives the networks under test, once, before anything is generated.

        Raises:
            BolidError: If its settings do not fit them.
        """
        self.pipeline, self.sampling = pipeline, sampling

    def begin(self, samples: Sequence[TrainingBatch]) -> None:  # noqa: B027  most methods can do without
        """Is called when a test begins, with the samples that it will be asked for.

        Raises:
            BolidError: If it cannot generate what the test asks for.
        """

    @abstractmethod
    def enroll(self, references: References) -> list[Subject]:
        """What it knows of each of B people."""

    def subjects(self, batch: TrainingBatch) -> list[Subject]:
        """The subjects of a test's samples: the people of their references; controls take others."""
        return self.enroll(batch.references)

    @abstractmethod
    def generate(
        self, prompts: list[str], subjects: Sequence[Subject], seeds: list[int], size: tuple[int, int]
    ) -> Tensor:
        """Images of B subjects.

        Args:
            prompts: B prompts.
            subjects: B of what `enroll` or `subjects` returned.
            seeds: B seeds; images of one seed share their noise in all methods.
            size: Height and width in pixels.

        Returns:
            (B, 3, H, W) in 0..1.
        """
