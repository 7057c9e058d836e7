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
    """A network in a card.

    Attributes:
        kind: Name of its class; cards never name a module, so that loading one imports nothing.
        arguments: Arguments of its constructor.
        networks: Further arguments that are folders inside the adapter's folder.
    """

    kind: str
    arguments: dict[str, Any]
    networks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """Content of `adapter.json`.

    Attributes:
        backbone: Base model; its only argument is the `path`: a folder, a hub id, or the embedded bundle's
            `data/tiny/…`.
        conditions: Conditions by name, in the order of their weights in the UNet.
        identities: Hashes of the training identities, if known.
    """

    backbone: Part
    conditions: dict[str, Part]
    identities: TrainedOn | None = None

    def write(self, folder: Path) -> None:
        """Writes the card into an adapter's folder."""
        write_text(Path(folder) / CARD, json.dumps({"format": FORMAT} | asdict(self), indent=2) + "\n")


def read_card(folder: str | Path) -> tuple[Path, Card]:
    """Reads an adapter's card, and returns it with the adapter's folder.

    Raises:
        BolidError: If there is no card, or it is invalid.
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
    """Parses a network of a card with type checks; `networks` become arguments with the adapter's folder prepended.

    Raises:
        TypeError: If a type is wrong.
        BolidError: If a network's folder lies outside the adapter's.
    """
    kind, arguments, networks = value["kind"], value["arguments"], value.get("networks", {})
    texts = [kind, *networks, *networks.values()]
    if not all(isinstance(text, str) for text in texts) or not isinstance(arguments, dict):
        raise TypeError(f"{value!r:.60} names no network")
    return Part(kind, arguments | {name: str(resolve_inside(folder, inside)) for name, inside in networks.items()})


def migrated(card: Any) -> dict[str, Any]:
    """Converts a card of the first format (no `format` entry), where conditions were a list named by kind."""
    backbone, branches = card["backbone"], card["branches"]
    return {
        "format": FORMAT,
        "backbone": {"kind": backbone["family"], "arguments": {"path": backbone["path"]}},
        "conditions": {b["name"]: {"kind": b["name"], "arguments": b["arguments"]} for b in branches},
    }
