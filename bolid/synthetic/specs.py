"""Settings of rendered people and their photos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.data.specs import check_size
from bolid.synthetic.render import RESERVED

FIRST = 200_000  # default first person of train
BESIDE = 90_000  # default offset of the first person of val


@dataclass(frozen=True)
class PeopleSpec:
    """The rendered people of a split. Null in `val` and `test` means as in `train`.

    Attributes:
        first: Number of the first person, 900000 or more in test, less elsewhere. Null: 200,000 in train, 90,000 after
            that in val, 900,000 in test.
        people: Number of people.
        photos: Number of photos per person. Null in train: 4.
        framing: Framing of the photos, see `bolid data render`. Null in train: mixed.
        outfits: 2 renders every photo in a second outfit, too.
        companions: Share of full-length photos with a second person beside, who is in the caption.
        families: Number of consecutive people who share head, skin and hair; 0 for none. Families share a batch as hard
            negatives.
    """

    first: int | None = None
    people: int = 64
    photos: int | None = None
    framing: str | None = None
    outfits: int = 1
    families: int = 0
    companions: float = 0.0

    def numbers(self) -> range:
        """The numbers of all people; needs `first`."""
        first = self.first or 0
        return range(first, first + self.people)


@dataclass(frozen=True)
class RenderedSpec:
    """Settings of rendered people and their photos; missing photos are rendered before training, and kept.

    Attributes:
        train: Training people.
        val: Validation people.
        test: Test people.
        photo_size: Height and width of the photos in pixels.
        pairs: Whether training people come in counterfactual pairs: the second has the opposite body, and all else,
            scenes included, equals the first. Photos of a pair are a group: they are consecutive, and share noise and
            dropped phrases.
        workers: Number of rendering processes.
        seed: Seed of everything random about the photos, given the person.
        face_embedder: ONNX face recogniser that embeds the faces after rendering; null for no embeddings.
        pose_estimator: Folder of the pose network whose keypoints encoders receive, as for users' photos; null for true
            keypoints.
    """

    train: PeopleSpec = PeopleSpec(people=256)
    val: PeopleSpec = PeopleSpec(people=16)
    test: PeopleSpec = PeopleSpec(people=64)
    photo_size: tuple[int, int] = (528, 352)
    pairs: bool = False
    workers: int = 2
    seed: int = 0
    face_embedder: Path | None = None
    pose_estimator: Path | None = None

    def completed(self) -> RenderedSpec:
        """A copy with null settings of people replaced.

        Raises:
            BolidError: If settings contradict each other, training or validation people are reserved for testing, or
                splits overlap.
        """
        train = _filled(self.train, PeopleSpec(FIRST, photos=4, framing="mixed"))
        val = _filled(self.val, replace(train, first=(train.first or 0) + BESIDE))
        spec = replace(self, train=train, val=val, test=_filled(self.test, replace(train, first=RESERVED)))
        check_size("rendered.photo_size", spec.photo_size)
        for split, people in spec.people().items():
            _check(f"rendered.{split}", people)
        _check_numbers(spec)
        return spec

    def people(self) -> dict[str, PeopleSpec]:
        """The people of each split."""
        return {"train": self.train, "val": self.val, "test": self.test}


RENDERED = RenderedSpec()  # the default; frozen, so that it can be shared


def _filled(spec: PeopleSpec, other: PeopleSpec) -> PeopleSpec:
    names = ("first", "photos", "framing")
    filled = replace(spec, **{n: getattr(other, n) for n in names if getattr(spec, n) is None})
    return replace(filled, framing=str(filled.framing).replace("_", " "))


def _check(name: str, people: PeopleSpec) -> None:
    from bolid.synthetic.people.dataset import FRAMINGS

    if (people.first or 0) < 0 or people.people < 0 or people.families < 0:
        raise BolidError(f"{name}: first, people and families must be 0 or more.")
    if (people.photos or 0) < 1 or people.outfits < 1:
        raise BolidError(f"{name}: photos={people.photos} and outfits={people.outfits} must be 1 or more.")
    if people.framing not in FRAMINGS:
        raise BolidError(f"{name}.framing is {people.framing!r}, none of {', '.join(FRAMINGS)}.")


def _check_numbers(spec: RenderedSpec) -> None:
    train, val, test = (people.numbers() for people in spec.people().values())
    for split, numbers in (("train", train), ("val", val)):
        if numbers and numbers[-1] >= RESERVED:
            raise BolidError(
                f"people from {RESERVED} on are reserved for testing, and rendered.{split} reaches {numbers[-1]}: "
                f"lower rendered.{split}.first or .people."
            )
    if test and test[0] < RESERVED:
        raise BolidError(f"rendered.test.first={test[0]} must be {RESERVED} or more.")
    if train and val and train[0] <= val[-1] and val[0] <= train[-1]:
        raise BolidError("the people to train and to validate on overlap; move rendered.val.first.")
    if spec.pairs and (train.start % 2 or train.stop % 2):
        raise BolidError(
            f"a pair is an even number and the next: rendered.train.first={train.start} and "
            f"rendered.train.people={len(train)} must be even."
        )
