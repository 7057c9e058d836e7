"""Between an adapter's card and its networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bolid.conditions import Condition
from bolid.conditions.base import KINDS as CONDITIONS
from bolid.core.errors import BolidError
from bolid.models.attention import install_conditions
from bolid.models.backbones import Backbone, Dtype
from bolid.models.backbones.base import KINDS as BACKBONES
from bolid.pipelines.card import CARD, Card, Part


def build(
    card: Card,
    folder: Path,
    backbone: str | None,
    encoder: str | None,
    dtype: Dtype,
    given: Sequence[type[Condition]],
) -> tuple[Backbone, dict[str, Condition]]:
    """The networks of a card, the conditions installed with weights yet to be loaded.

    See `BoLIDPipeline.from_pretrained` for the arguments and errors.
    """
    conditions = make_conditions(card, folder, encoder, given)
    family = BACKBONES.find(card.backbone.kind)
    base = family(backbone or card.backbone.arguments["path"], dtype=dtype)
    install_conditions(base.unet, [c.projector(base.text_dim) for c in conditions.values()])
    return base, conditions


def make_conditions(
    card: Card, folder: Path, encoder: str | None = None, given: Sequence[type[Condition]] = ()
) -> dict[str, Condition]:
    """The conditions of a card, by name.

    Raises:
        BolidError: If one is of an unknown kind, its arguments do not fit, or there is no body condition for `encoder`.
    """
    bodies = [name for name, part in card.conditions.items() if part.kind == "body"]
    if encoder is not None and not bodies:
        raise BolidError(f"encoder: {folder} has no body condition, only {', '.join(card.conditions) or 'none'}")
    parts = {
        name: Part(part.kind, part.arguments | {"encoder": encoder}) if encoder and name in bodies else part
        for name, part in card.conditions.items()
    }
    return {name: _make(part, given, f"{folder / CARD}: {name}") for name, part in parts.items()}


def _make(part: Part, given: Sequence[type[Condition]], where: str) -> Condition:
    kind: Any = CONDITIONS.find(part.kind, given)
    try:
        return kind(**part.arguments)
    except BolidError as error:
        raise BolidError(f"{where}: {error}") from error
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError, OverflowError) as error:
        raise BolidError(f"{where}: its arguments do not fit ({error}); copy or export the adapter anew") from error


def card_of(backbone: Backbone, conditions: Mapping[str, Condition]) -> Card:
    """The card of networks."""
    parts = {name: Part(c.kind, c.arguments) for name, c in conditions.items()}
    return Card(Part(backbone.kind, {"path": backbone.path}), parts)


def check_card(card: Card, conditions: Mapping[str, Condition], where: str) -> None:
    """Refuses an adapter whose conditions are not these.

    Raises:
        BolidError: If names, kinds or encoders differ.
    """
    if set(card.conditions) != set(conditions):
        theirs, ours = (", ".join(names) or "none" for names in (card.conditions, conditions))
        raise BolidError(f"{where} holds the conditions {theirs}, and here are {ours}: set the same")
    for name, part in card.conditions.items():
        condition = conditions[name]
        if part.kind != condition.kind:
            raise BolidError(f"{where}: {name} is of kind {part.kind}, and here of kind {condition.kind}: set the same")
        condition.check_fingerprint(str(part.arguments.get("fingerprint", "")), f"what {where} was trained with")
