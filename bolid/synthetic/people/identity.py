"""Identities: everything constant over a person's photos, a function of the person's seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bolid.synthetic.measures import CALIBRATION
from bolid.synthetic.people.body import Rest, body
from bolid.synthetic.people.measure import Measures, measure, z_score

SKINS = np.array([(1.0, 0.84, 0.74), (0.94, 0.75, 0.62), (0.84, 0.64, 0.49), (0.68, 0.48, 0.35), (0.46, 0.31, 0.23)])
HAIRS = {
    "black": (0.06, 0.05, 0.05),
    "brown": (0.26, 0.15, 0.08),
    "blond": (0.82, 0.66, 0.36),
    "red": (0.60, 0.24, 0.08),
    "grey": (0.62, 0.61, 0.60),
}
EYES = np.array([(0.28, 0.16, 0.08), (0.18, 0.10, 0.06), (0.30, 0.45, 0.62), (0.32, 0.42, 0.26), (0.45, 0.47, 0.48)])
STYLES = {
    "man": {"bald": 2, "very short": 3, "short": 5, "curly": 1, "bob": 0.6, "long": 0.6},
    "woman": {"short": 2, "bob": 3, "long": 4, "bun": 2, "ponytail": 3, "curly": 1.2},
}
FACE_CHANGES = ("cheek", "chin", "ear", "eye", "forehead", "head", "mouth", "nose", "neck")
# Standard deviations of local changes by the first word of their name; larger ones deform the skull.
SPREAD = {"head": 0.16, "forehead": 0.2, "neck": 0.2, "ear": 0.3, "nose": 0.36, "chin": 0.36, "mouth": 0.36}
SPREAD |= {"eye": 0.42, "cheek": 0.42, "eyebrows": 0.42}
# Excluded changes: asymmetric ones, and those outside natural adults.
NEVER = ("trans-out", "pregnant", "bulge", "head-age", "pelvis-tone", "navel", "head-angle", "torso-trans", "hip-trans")


@dataclass
class Person:
    """An identity.

    Attributes:
        seed: Number of the person; `family` is the number of the shared head (the own seed if none).
        scenes: Seed of poses, clothes and scenes, shared within a counterfactual pair.
        gender: "woman" or "man".
        phenotype, changes: Sliders of the body; `head_phenotype`, `head_changes` those of the head.
        skin, hair, iris, lips: (3,) colours in 0..1; `hair_name`, `hair_style` words for the caption.
        beard: Whether he has a beard.
        measures: Ratios measured on `rest`, the unposed body.
    """

    seed: int
    family: int
    scenes: int
    gender: str
    phenotype: dict[str, float]
    changes: dict[str, float]
    head_phenotype: dict[str, float]
    head_changes: dict[str, float]
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    hair_name: str
    hair_style: str
    beard: bool
    measures: Measures
    rest: Rest


def make_person(seed: int, families: int = 0, opposites: bool = False) -> Person:
    """The person of a seed.

    Args:
        families: Number of consecutive seeds that share head, skin and hair; 0 or 1 for none.
        opposites: Whether odd seeds are the counterfactual `opposite` of the one before.
    """
    if opposites and seed % 2:
        return opposite(make_person(seed - 1, families), seed)
    family = seed // families if families > 1 else seed
    look = np.random.default_rng([family, families if families > 1 else 0, 1])
    gender = "woman" if look.random() < 0.5 else "man"
    phenotype = _phenotype(look, gender, age=float(np.clip(0.67 + abs(look.normal(0, 0.07)), 0.67, 0.9)))
    head_changes = _changes(look, face=True)
    shape, changes, measures, rest = _natural_body(
        np.random.default_rng([seed, 2]), gender, phenotype["age"], head_changes
    )
    tone = look.uniform(0, len(SKINS) - 1)
    skin = np.array([np.interp(tone, range(len(SKINS)), SKINS[:, i]) for i in range(3)])
    names, styles = list(HAIRS), STYLES[gender]
    hair_name = names[look.choice(5, p=_hair_odds(tone, phenotype["age"]))]
    return Person(
        seed=seed,
        family=family,
        scenes=seed,
        gender=gender,
        phenotype=shape,
        changes=changes,
        head_phenotype=phenotype if families > 1 else shape,
        head_changes=head_changes,
        skin=skin * look.uniform(0.96, 1.04),
        hair=np.clip(np.array(HAIRS[hair_name]) * look.uniform(0.8, 1.2), 0, 1),
        iris=EYES[look.choice(5, p=[0.35, 0.35, 0.12, 0.1, 0.08] if tone < 2 else [0.4, 0.6, 0, 0, 0])],
        lips=skin * 0.62 + np.array([0.24, 0.06, 0.08]) * look.uniform(0.5, 1.3),
        hair_name=hair_name,
        hair_style=str(look.choice(list(styles), p=np.array(list(styles.values())) / sum(styles.values()))),
        beard=gender == "man" and look.random() < 0.3,
        measures=measures,
        rest=rest,
    )


def opposite(person: Person, seed: int) -> Person:
    """The counterfactual of a person: the same head, skin, hair and scenes, with the opposite deviation from the
    average body.

    The deviation is reduced until the body is a natural adult's. Photos of the two differ by the body alone; captions
    also vary in wording.
    """
    for share in (1.0, 0.75, 0.5, 0.25, 0.0):
        phenotype = _mirrored(person.phenotype, person.gender, share)
        changes = {name: -share * value for name, value in person.changes.items()}
        rest = body().rest(phenotype, person.head_changes | changes)
        measures = measure(rest)
        if _natural(measures, person.gender):
            break
    own_head = person.head_phenotype is person.phenotype
    return replace(
        person,
        seed=seed,
        phenotype=phenotype,
        changes=changes,
        head_phenotype=phenotype if own_head else person.head_phenotype,
        measures=measures,
        rest=rest,
    )


def _mirrored(phenotype: dict[str, float], gender: str, share: float) -> dict[str, float]:
    """Sliders mirrored at the average; gender and age are unchanged."""
    means = {name: mean for name, mean in _means(gender).items() if name not in ("gender", "age")}
    moved = {name: mean - share * (phenotype[name] - mean) for name, mean in means.items()}
    return phenotype | {name: float(np.clip(value, 0.02, 0.98)) for name, value in moved.items()}


def _hair_odds(tone: float, age: float) -> np.ndarray:
    fair = max(0.0, 1 - tone / 2.2)
    odds = np.array([0.2 + 0.5 * (1 - fair), 0.42, 0.3 * fair, 0.15 * fair, max(0.02, 3.0 * (age - 0.74))])
    return odds / odds.sum()


def _phenotype(rng: np.random.Generator, gender: str, age: float) -> dict[str, float]:
    """Sliders, drawn around `_means`."""
    spreads = {"height": 0.05, "weight": 0.3}
    values = {name: rng.normal(mean, spreads.get(name, 0.2)) for name, mean in _means(gender).items()}
    values = {name: float(np.clip(value, 0.02, 0.98)) for name, value in values.items()}
    return values | {"gender": 1.0 if gender == "woman" else 0.0, "age": age}


def _means(gender: str) -> dict[str, float]:
    """The average person's sliders; the model's own heights are too large (these give 1.64 m and 1.77 m)."""
    means = {"height": 0.355 if gender == "woman" else 0.31, "weight": 0.65}
    return {name: means.get(name, 0.5) for name in body().phenotypes}


def _changes(rng: np.random.Generator, face: bool) -> dict[str, float]:
    """Local changes of the head or of the rest, nearly symmetric."""
    shared: dict[str, float] = {}
    values = {}
    for name in body().changes:
        stem = name[2:] if name[:2] in ("l-", "r-") else name
        draw = shared.setdefault(stem, rng.normal(0, 1))
        trace = rng.normal(0, 0.04)
        # Match whole words of the name: "eyebrows" and "ears" are prefixes of other words.
        mine = any(word in FACE_CHANGES or word.startswith("eyebrow") for word in stem.split("-")[:1]) == face
        if mine and not any(part in name for part in NEVER):
            values[name] = float(np.clip(draw * SPREAD.get(stem.split("-")[0], 0.28) + trace, -1, 1))
    return values


def _natural_body(
    rng: np.random.Generator, gender: str, age: float, head_changes: dict[str, float]
) -> tuple[dict[str, float], dict[str, float], Measures, Rest]:
    """Samples bodies until one is within natural ranges (nearly always one of the first three)."""
    model = body()
    for _ in range(50):
        phenotype, changes = _phenotype(rng, gender, age), _changes(rng, face=False)
        rest = model.rest(phenotype, head_changes | changes)
        measures = measure(rest)
        if _natural(measures, gender):
            break
    return phenotype, changes, measures, rest


def _natural(measures: Measures, gender: str) -> bool:
    if not 1.45 < measures.stature < 2.02 or not 16.5 < measures.bmi < 36:
        return False
    return all(abs(z_score(measures, name, gender)) < 2.8 for name in CALIBRATION[gender])
