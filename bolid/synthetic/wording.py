"""Vocabulary of scored caption attributes: the renderer writes it, and metrics parse it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

# Attributes of captions with their wordings; the order is that of the classes of trained classifiers.
GENDERS = ("woman", "man")
COLOURS = ("red", "blue", "green", "black", "white", "yellow", "purple", "grey", "orange", "pink", "brown")
WALLS = ("white", "grey", "beige", "light blue", "green", "pink", "yellow", "dark")
OUTDOOR = {
    "park": ("in a park", "on a lawn in front of trees"),
    "beach": ("on a beach", "on the sand by the sea"),
    "street": ("on a street", "in a street with houses"),
    "field": ("in a field of wheat", "in a yellow field"),
}
POSE = {
    "standing": ("standing", "standing still", "standing upright"),
    "walking": ("walking", "taking a step"),
    "running": ("running", "jogging"),
    "waving": ("waving", "waving a hand"),
    "arms raised": ("with raised arms", "with both arms up", "holding both arms up"),
    "arms spread": ("with arms spread out", "stretching both arms to the sides"),
    "hands on hips": ("with hands on the hips", "hands on hips"),
    "reaching": ("reaching forward", "stretching both arms forward"),
    "pointing": ("pointing to the side", "with one arm stretched out"),
    "bending": ("bending forward", "bowing"),
    "one leg": ("standing on one leg", "balancing on one leg"),
    "sitting": ("sitting", "sitting on a box", "seated"),
    "crouching": ("crouching", "squatting"),
}
VIEW = {
    "front": ("seen from the front", "facing the camera"),
    "three-quarter": ("in three-quarter view", "turned half to the side"),
    "side": ("seen from the side", "in profile"),
    "behind": ("seen from behind", "with the back to the camera"),
}
FRAMING = {
    "full length": ("full length", "full-body photo"),
    "three-quarter length": ("three-quarter length", "from the knees up"),
    "head and shoulders": ("head and shoulders", "close-up portrait"),
}
# Graded words, from little to much.
BUILD = (
    ("very slim", "very thin"),
    ("slim", "thin"),
    ("of average build", "of medium build"),
    ("heavy", "stout"),
    ("very heavy", "very stout"),
)
BUILDS = tuple(words[0] for words in BUILD)  # classes of the attribute "build"
HEIGHT = (("very short",), ("short",), ("of average height", "of medium height"), ("tall",), ("very tall",))
# Used only if noticeable: little, then much.
PARTS = {
    "shoulders": (("narrow shoulders",), ("broad shoulders", "wide shoulders")),
    "waist": (("a narrow waist", "a slim waist"), ("a thick waist", "a wide waist")),
    "hips": (("narrow hips",), ("wide hips", "broad hips")),
    "legs": (("short legs",), ("long legs",)),
}

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shirt": COLOURS,
    "trousers": COLOURS,
    "background": (*(f"{colour} wall" for colour in WALLS), *OUTDOOR),
    "gender": GENDERS,
    "pose": tuple(POSE),
    "view": tuple(VIEW),
    "framing": tuple(FRAMING),
}
_GENDER = re.compile(r"a (?:photo|picture) of a (woman|man)")
_WALL = re.compile(rf"(?:in front of|against) a ({'|'.join(WALLS)})(?: striped)? wall")
_COMPANION = re.compile(rf"with a (?:.* )?({'|'.join(GENDERS)}) in .* on the (left|right)")
_COLOUR = "|".join(COLOURS)
_CLOTHES = re.compile(rf"(?:wearing|dressed in|in) an? ({_COLOUR}) [\w -]+?(?: and (?:an? )?({_COLOUR}) .+)?")


def attributes(caption: str) -> dict[str, str]:
    """Parses a caption for `ATTRIBUTES` and the build (`BUILDS`); unmentioned or unknown ones are absent.

    The colour of trousers, skirts and shorts is `trousers`; it is absent, too, if the frame ends above them.
    """
    found: dict[str, str] = {}
    for piece in caption.split(", "):
        if piece in _phrases():
            attribute, name = _phrases()[piece]
            found[attribute] = name
        elif match := _GENDER.fullmatch(piece):
            found["gender"] = match[1]
        elif match := _WALL.fullmatch(piece):
            found["background"] = f"{match[1]} wall"
        elif match := _CLOTHES.fullmatch(piece):
            found |= {"shirt": match[1]} | ({"trousers": match[2]} if match[2] else {})
    if found.get("framing") == "head and shoulders":
        found.pop("trousers", None)
    return found


def shows_figure(caption: str) -> bool:
    """Whether the caption describes one whole figure in front or three-quarter view, with measurable proportions."""
    said = attributes(caption)
    whole = said.get("framing") in ("full length", "three-quarter length")
    return whole and said.get("view") in ("front", "three-quarter") and not _COMPANION.search(caption)


def body_grades(caption: str) -> list[float]:
    """Grades of the body in a caption: build and height from -2 (little) to 2, then `PARTS`, each -1.5 or 1.5.

    Unmentioned and average ones are 0.
    """
    said = _graded(caption)
    return [said.get(name, 0.0) for name in ("build", "height", *PARTS)]


def _graded(caption: str) -> dict[str, float]:
    """Attribute -> grade in a caption."""
    return dict(_grades()[piece] for piece in caption.split(", ") if piece in _grades())


@cache
def _grades() -> dict[str, tuple[str, float]]:
    """Phrase -> attribute and grade."""
    found: dict[str, tuple[str, float]] = {}
    for name, levels in (("build", BUILD), ("height", HEIGHT)):
        for level, words in enumerate(levels):
            found |= dict.fromkeys(words, (name, level - 2.0))
    for name, (little, much) in PARTS.items():
        found |= {f"with {words}": (name, -1.5) for words in little} | {f"with {words}": (name, 1.5) for words in much}
    return found


@cache
def _phrases() -> dict[str, tuple[str, str]]:
    """Phrase -> its attribute and class."""
    tables: dict[str, Mapping[str, Sequence[str]]]
    builds = dict(zip(BUILDS, BUILD, strict=True))
    tables = {"pose": POSE, "view": VIEW, "framing": FRAMING, "background": OUTDOOR, "build": builds}
    return {
        phrase: (attribute, name)
        for attribute, table in tables.items()
        for name, phrases in table.items()
        for phrase in phrases
    }
