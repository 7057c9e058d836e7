"""Settings of a data module: references, and samples of each split."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bolid.core.errors import BolidError
from bolid.data.cache import View
from bolid.data.caption_dropout import CaptionDropout
from bolid.data.nuisance import Nuisance


def check_size(name: str, size: tuple[int, int]) -> None:
    """Refuses a height or width below 1.

    Raises:
        BolidError: If one is; the message names the setting.
    """
    if min(size) < 1:
        raise BolidError(f"{name} is {list(size)}; height and width must be 1 pixel or more.")


@dataclass(frozen=True)
class ReferenceSpec:
    """Settings of a sample's references, other photos of the same person.

    Attributes:
        size: Height and width in pixels.
        min: Minimum number of other photos for a photo to be a target; 0 includes single photos.
        max: Maximum number of references; 0 for none.
    """

    size: tuple[int, int] = (96, 64)
    min: int = 1
    max: int = 4

    def __post_init__(self) -> None:
        check_size("references.size", self.size)
        if not 0 <= self.min <= self.max:
            raise BolidError(f"references.min={self.min} must lie between 0 and references.max={self.max}.")


@dataclass(frozen=True)
class SplitSpec:
    """Settings of a split's samples. Null in `val` and `test` means as in `train`, except for flips.

    Attributes:
        target: frame: the whole photo, cropped to the aspect; person: cropped to the person, like references. Null in
            train: frame.
        caption_dropout: Dropout of caption phrases; validation and test sample it with a fixed seed. Null in train:
            none.
        flip: Probability of mirroring each image. Null: 0.5 in train, else 0.
        samples_per_epoch: In train, number of samples in an epoch; null: one per possible target, at least one batch.
        max_targets: In val and test, maximum number of targets per person; other photos are only references.
        new_clothes: In val and test, whether references exclude the clothing colours of the target's caption; photos
            without enough such references are no targets.
        second_outfit: Whether samples include the target's scene in another outfit, if there is one. Null in train: no.
        probe: In test, whether a second loader provides training people, to fit probes on.
        nuisance: In train, augmentation of references and second outfits; null for none.
    """

    target: View | None = None
    caption_dropout: CaptionDropout | None = None
    flip: float | None = None
    samples_per_epoch: int | None = None
    max_targets: int | None = None
    new_clothes: bool = False
    second_outfit: bool | None = None
    probe: bool = False
    nuisance: Nuisance | None = None

    def __post_init__(self) -> None:
        if self.flip is not None and not 0 <= self.flip <= 1:
            raise BolidError(f"flip is {self.flip}; a probability lies between 0 and 1.")
        for name in ("samples_per_epoch", "max_targets"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BolidError(f"{name} is {value}; it must be 1 or more, or null.")

    def completed(self, training: bool, other: SplitSpec | None = None) -> SplitSpec:
        """A copy with null replaced: by `other` except for flips, or by the defaults."""
        other = other or SplitSpec("frame", second_outfit=False)
        other = replace(other, flip=0.5 if training else 0.0)
        names = ("target", "caption_dropout", "flip", "second_outfit")
        return replace(self, **{n: getattr(other, n) for n in names if getattr(self, n) is None})


REFERENCES, SAMPLES = ReferenceSpec(), SplitSpec()  # the defaults; frozen, so that they can be shared
# The splits in which a setting has a meaning; elsewhere it would be ignored silently.
_ONLY = {
    "nuisance": ("train",),
    "samples_per_epoch": ("train",),
    "max_targets": ("val", "test"),
    "new_clothes": ("val", "test"),
    "probe": ("test",),
}


def complete_specs(train: SplitSpec, val: SplitSpec | None, test: SplitSpec | None) -> dict[str, SplitSpec]:
    """The specs of all splits, with null replaced.

    Raises:
        BolidError: If a setting is given for a split in which it has no meaning.
    """
    given = {"train": train, "val": val or SplitSpec(), "test": test or SplitSpec()}
    for name, splits in _ONLY.items():
        for split in given.keys() - splits:
            if getattr(given[split], name):
                raise BolidError(f"{split}.{name} has no meaning; {name} is a setting of {' and '.join(splits)}.")
    first = train.completed(training=True)
    return {"train": first} | {split: given[split].completed(False, first) for split in ("val", "test")}
