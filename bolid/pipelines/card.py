"""An adapter's card, `adapter.json`: which backbone it is for and which conditions it holds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bolid.core.errors import BolidError
from bolid.core.names import named
from bolid.core.paths import find_folder
from bolid.core.safe_io import write_text

CARD = "adapter.json"
FORMAT = "bolid-adapter-2"


@dataclass(frozen=True)
class Part:
    """A network as a card names it.

    Attributes:
        kind: Of its class; cards never name a module.
        arguments: Of its constructor.
    """

    kind: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Card:
    """What `adapter.json` says.

    Attributes:
        backbone: Its only argument is the `path`: a folder or hub id.
        conditions: By name, in the order of their weights in the UNet.
    """

    backbone: Part
    conditions: dict[str, Part]

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
        conditions = {name: part(value) for name, value in card["conditions"].items()}
        backbone = part(card["backbone"])
        if not isinstance(backbone.arguments["path"], str):
            raise TypeError("the backbone's path is no text")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BolidError(f"{path} is no adapter's card ({error!r}): copy or export the adapter anew") from error
    return found, Card(backbone, named(conditions, str(path)))


def part(value: Any) -> Part:
    """A network of a card, its types checked."""
    kind, arguments = value["kind"], value["arguments"]
    if not isinstance(kind, str) or not isinstance(arguments, dict):
        raise TypeError(f"{value!r:.60} names no network")
    return Part(kind, arguments)


def migrated(card: Any) -> dict[str, Any]:
    """A card of the first format, which had no name, as the present one: conditions were a list named by their kind."""
    backbone, branches = card["backbone"], card["branches"]
    return {
        "format": FORMAT,
        "backbone": {"kind": backbone["family"], "arguments": {"path": backbone["path"]}},
        "conditions": {b["name"]: {"kind": b["name"], "arguments": b["arguments"]} for b in branches},
    }
