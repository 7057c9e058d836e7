"""Record of an adapter's training identities in its card, as salted hashes."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bolid.core.errors import BolidError

CARD = "adapter.json"
IDENTITIES = "identities"  # key in cards and checkpoints


@dataclass(frozen=True)
class TrainedOn:
    """The identities of a fit; `name in trained_on` tests membership.

    Attributes:
        salt: Hexadecimal, new for every fit, so that lists of two adapters cannot be compared.
        hashes: SHA-256 of salt and name, sorted.
    """

    salt: str
    hashes: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str], before: TrainedOn | None = None) -> TrainedOn:
        """The record of these identities, and of the adapter that the fit started from, if any."""
        salt = secrets.token_hex(16) if before is None else before.salt
        known = () if before is None else before.hashes
        return cls(salt, tuple(sorted({*known, *(_hash(salt, name) for name in names)})))

    @classmethod
    def read(cls, value: Any) -> TrainedOn | None:
        """Parses the entry of a card; None if absent.

        Raises:
            TypeError: If the entry is invalid.
            LookupError: If a part is missing.
        """
        if value is None:
            return None
        salt, hashes = value["salt"], value["hashes"]
        if not isinstance(salt, str) or not isinstance(hashes, list) or not all(isinstance(h, str) for h in hashes):
            raise TypeError("identities are no salt and hashes")
        return cls(salt, tuple(hashes))

    def written(self) -> dict[str, Any]:
        """The entry for a card or a checkpoint, see `read`."""
        return {"salt": self.salt, "hashes": list(self.hashes)}

    def __contains__(self, name: str) -> bool:
        return _hash(self.salt, name) in self.hashes


def _hash(salt: str, name: str) -> str:
    return hashlib.sha256((salt + name).encode("utf-8", "surrogatepass")).hexdigest()


def was_trained_on(folder: str | Path, name: str) -> bool | None:
    """Whether an adapter was trained on an identity; None if its card has no record.

    Raises:
        BolidError: If the folder holds no adapter.
    """
    card = Path(folder) / CARD
    try:
        found = TrainedOn.read(json.loads(card.read_text("utf-8")).get(IDENTITIES))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BolidError(f"{card} is no adapter's card ({type(error).__name__})") from error
    return None if found is None else name in found
