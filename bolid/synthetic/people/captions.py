"""Captions of photos: phrases by kind, in several wordings, without names."""

from __future__ import annotations

import numpy as np

from bolid.core.schema import Phrase
from bolid.synthetic.people.identity import Person
from bolid.synthetic.people.measure import z_score
from bolid.synthetic.people.outfit import Outfit
from bolid.synthetic.people.scene import Scene
from bolid.synthetic.wording import BUILD, FRAMING, HEIGHT, OUTDOOR, PARTS, POSE, VIEW

# Five levels, split at these within-gender standard deviations: about 11, 22, 34, 22 and 11 % of people.
LEVELS = (-1.2, -0.43, 0.43, 1.2)
NOTICEABLE = 0.9
RATIO = {"shoulders": "shoulder", "waist": "waist", "hips": "hip", "legs": "leg"}  # of each phrase's kind
STYLE = {
    "very short": "very short {} hair",
    "short": "short {} hair",
    "bob": "{} hair in a bob",
    "long": "long {} hair",
    "curly": "thick curly {} hair",
    "bun": "{} hair in a bun",
    "ponytail": "{} hair in a ponytail",
}


def describe(person: Person, pose: str, outfit: Outfit, scene: Scene, rng: np.random.Generator) -> list[Phrase]:
    """The phrases of a photo, in the order in which a caption joins them."""
    phrases = [Phrase("gender", _pick(rng, (f"a photo of a {person.gender}", f"a picture of a {person.gender}")))]
    phrases += [*_body(person, rng), Phrase("hair", _hair(person))]
    phrases.append(Phrase("clothes", _pick(rng, ("wearing ", "dressed in ", "in ")) + outfit.words))
    phrases.append(Phrase("pose", _pick(rng, POSE[pose])))
    phrases.append(Phrase("view", _pick(rng, VIEW[scene.view])))
    phrases.append(Phrase("framing", _pick(rng, FRAMING[scene.framing])))
    phrases.append(Phrase("background", _background(scene, rng)))
    return phrases


def level(z: float) -> int:
    """The grade 0..4 of a deviation in standard deviations."""
    return int(np.searchsorted(LEVELS, z))


def _body(person: Person, rng: np.random.Generator) -> list[Phrase]:
    score = {name: z_score(person.measures, name, person.gender) for name in ("build", "stature")}
    phrases = [Phrase("build", _pick(rng, BUILD[level(score["build"])]))]
    phrases.append(Phrase("height", _pick(rng, HEIGHT[level(score["stature"])])))
    for kind, (less, more) in PARTS.items():
        z = z_score(person.measures, RATIO[kind], person.gender)
        if abs(z) > NOTICEABLE:
            phrases.append(Phrase(kind, "with " + _pick(rng, more if z > 0 else less)))
    return phrases


def _hair(person: Person) -> str:
    hair = "bald" if person.hair_style == "bald" else "with " + STYLE[person.hair_style].format(person.hair_name)
    return hair + (" and a beard" if person.beard and hair != "bald" else ", with a beard" if person.beard else "")


def _background(scene: Scene, rng: np.random.Generator) -> str:
    if scene.outdoor:
        return _pick(rng, OUTDOOR[scene.background])
    wall = f"{scene.background} striped wall" if scene.striped else f"{scene.background} wall"
    return _pick(rng, ("in front of ", "against ")) + f"a {wall}"


def _pick(rng: np.random.Generator, wordings: tuple[str, ...]) -> str:
    return wordings[rng.integers(len(wordings))]
