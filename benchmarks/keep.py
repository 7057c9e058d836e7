"""Where benchmarks of photographs keep their numbers: `benchmarks/results/photos.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bolid.core.safe_io import write_text

RESULTS = Path(__file__).parent / "results/photos.json"
Number = tuple[float, str]  # a value, and what it was measured on


def keep(numbers: Mapping[str, Number], command: str, path: Path = RESULTS) -> None:
    """Prints numbers and puts them beside those that are there.

    Args:
        numbers: Name -> the value and what it was measured on.
        command: That measures them.
        path: A JSON file, name -> value, command and set.
    """
    results = json.loads(path.read_text()) if path.exists() else {}
    for name, (value, measured) in numbers.items():
        results[name] = {"value": round(float(value), 4), "command": command, "set": measured}
        print(f"{name:22} {value:.4f}  {measured}", flush=True)
    write_text(path, json.dumps(dict(sorted(results.items())), indent=2) + "\n")
