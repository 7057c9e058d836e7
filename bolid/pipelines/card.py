"""An adapter's card, `adapter.json`: which backbone it is for and which conditions it holds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bolid.core.errors import BolidError
from bolid.core.names import named
from bolid.core.paths import find_folder
from bolid.core.safe_io import resolve_inside, write_text
from bolid.core.trained_on import CARD, IDENTITIES, TrainedOn

FORMAT = "bolid-adapter-2"


@dataclass(frozen=True)
class Part:
    """A network as a card names it.

    Attributes:
        kind: Of its class; cards never name a module.
        arguments: Of its constructor.
        networks: Further arguments: folders inside the adapter's.
    """

    kind: str
    arguments: dict[str, Any]
    networks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """What `adapter.json` says.

    Attributes:
        backbone: Its only argument is the `path`: a folder, a hub id, or the embedded bundle's `data/tiny/…`.
        conditions: By name, in the order of their weights in the UNet.
        identities: Whom it was trained on, if that is known.
    """

    backbone: Part
    conditions: dict[str, Part]
    identities: TrainedOn | None = None

    def write(self, folder: Path) -> None:
        """Writes the card into an adapter's folder."""
        write_text(Path(folder) / CARD, json.dumps({"format": FORMAT} | asdict(self), indent=2) + "\n")


def read_card(folder: str | Path) -> tuple[Path, Card]:
    """The folder of an adapter, and its card.

    Raises:
        BolidError: If there is none, or it is no card.
    """
    found = find_folder(folder, CARD, "give the `adapter` folder that `bolid fit` writes into its run")
    path = found / CARD
    try:
        card = json.loads(path.read_text())
        card = card if "format" in card else migrated(card)
        if card["format"] != FORMAT:
            raise BolidError(f"{path} is of format {card['format']!r}, and this version reads {FORMAT!r}: update BoLID")
        conditions = {name: part(value, found) for name, value in card["conditions"].items()}
        backbone, identities = part(card["backbone"], found), TrainedOn.read(card.get(IDENTITIES))
        if not isinstance(backbone.arguments["path"], str):
            raise TypeError("the backbone's path is no text")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BolidError(f"{path} is no adapter's card ({error!r}): copy or export the adapter anew") from error
    return found, Card(backbone, named(conditions, str(path)), identities)


def part(value: Any, folder: Path) -> Part:
    """A network of a card, its types checked; what is inside the adapter's folder becomes an argument like others.

    Raises:
        TypeError: If a type is wrong.
        BolidError: If a network is said to be in a folder outside.
    """
    kind, arguments, networks = value["kind"], value["arguments"], value.get("networks", {})
    texts = [kind, *networks, *networks.values()]
    if not all(isinstance(text, str) for text in texts) or not isinstance(arguments, dict):
        raise TypeError(f"{value!r:.60} names no network")
    return Part(kind, arguments | {name: str(resolve_inside(folder, inside)) for name, inside in networks.items()})


def migrated(card: Any) -> dict[str, Any]:
    """A card of the first format, which had no name, as the present one: conditions were a list named by their kind."""
    backbone, branches = card["backbone"], card["branches"]
    return {
        "format": FORMAT,
        "backbone": {"kind": backbone["family"], "arguments": {"path": backbone["path"]}},
        "conditions": {b["name"]: {"kind": b["name"], "arguments": b["arguments"]} for b in branches},
    }
