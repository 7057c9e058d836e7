"""Builds, loads and saves an adapter's networks from and to its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from bolid.conditions import Condition
from bolid.conditions.base import KINDS as CONDITIONS
from bolid.core.errors import BolidError
from bolid.core.paths import portable
from bolid.core.safe_io import atomic_path, load_safetensors
from bolid.core.trained_on import CARD, TrainedOn
from bolid.models.attention import adapter_weights, install_conditions, load_adapter_weights
from bolid.models.backbones import Backbone, Dtype
from bolid.models.backbones.base import KINDS as BACKBONES
from bolid.pipelines.card import Card, Part


def build(
    card: Card,
    folder: Path,
    backbone: str | None,
    encoder: str | None,
    dtype: Dtype,
    given: Sequence[type[Condition]],
    variant: str | None = None,
) -> tuple[Backbone, dict[str, Condition]]:
    """Builds the networks of a card; the conditions are installed, their weights not yet loaded.

    See `BoLIDPipeline.from_pretrained` for the arguments and errors.
    """
    conditions = make_conditions(card, folder, encoder, given)
    family = BACKBONES.find(card.backbone.kind)
    try:
        base = family(backbone or card.backbone.arguments["path"], dtype=dtype, variant=variant)
    except BolidError as error:
        where = "" if backbone else f"{folder / CARD}: "
        raise BolidError(f"{where}{error}; the base model can be given, too (`--backbone`)") from error
    install_conditions(base.unet, [c.projector(base.text_dim) for c in conditions.values()])
    return base, conditions


def make_conditions(
    card: Card, folder: Path, encoder: str | None = None, given: Sequence[type[Condition]] = ()
) -> dict[str, Condition]:
    """Builds the conditions of a card, by name.

    Raises:
        BolidError: If a kind is unknown, its arguments do not fit, or `encoder` is given without a body condition.
    """
    parts = dict(card.conditions)
    if encoder is not None:
        bodies = {name: part for name, part in parts.items() if part.kind == "body"}
        if not bodies:
            raise BolidError(f"encoder: {folder} has no body condition, only {', '.join(parts) or 'none'}")
        parts |= {name: Part(part.kind, part.arguments | {"encoder": encoder}) for name, part in bodies.items()}
    return {name: _make(part, given, f"{folder / CARD}: {name}") for name, part in parts.items()}


def _make(part: Part, given: Sequence[type[Condition]], where: str) -> Condition:
    kind: Any = CONDITIONS.find(part.kind, given)
    try:
        return kind(**part.arguments)
    except BolidError as error:
        raise BolidError(f"{where}: {error}") from error
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError, OverflowError) as error:
        raise BolidError(f"{where}: its arguments do not fit ({error}); copy or export the adapter anew") from error


def save(
    folder: Path, backbone: Backbone, conditions: Mapping[str, Condition], identities: TrainedOn | None = None
) -> None:
    """Writes a complete adapter: weights in the IP-Adapter split, the encoders of photos, and the card.

    Raises:
        BolidError: If the body encoder's file has moved or changed since it was loaded.
    """
    parts = {}
    for number, (name, condition) in enumerate(conditions.items()):
        with atomic_path(folder / f"{name}.safetensors") as part:
            save_file(adapter_weights(backbone.unet, number), part, metadata={"format": "pt"})
        # Networks inside the adapter's folder replace arguments that are paths on this machine.
        inside = condition.save_networks(folder, name)
        outside = {key: value for key, value in condition.arguments.items() if key not in inside}
        parts[name] = Part(condition.kind, outside, inside)
    Card(Part(backbone.kind, {"path": portable(backbone.path)}), parts, identities).write(folder)


def load_weights(folder: Path, backbone: Backbone, conditions: Mapping[str, Condition]) -> None:
    """Loads an adapter's weights into the installed conditions.

    Raises:
        BolidError: If a file is missing, broken, holds NaN or infinity, or does not fit.
    """
    for number, name in enumerate(conditions):
        file = folder / f"{name}.safetensors"
        weights = load_safetensors(file)
        if broken := sorted(key for key, value in weights.items() if not value.isfinite().all()):
            raise BolidError(f"{file}: {broken[0]} holds numbers that are not finite; copy or train the adapter anew")
        load_adapter_weights(backbone.unet, number, weights)


def check_card(card: Card, conditions: Mapping[str, Condition], where: str) -> None:
    """Refuses an adapter whose conditions differ from the given ones.

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
