"""BoLID: images of a particular person, body and face, from a frozen Stable Diffusion and small adapters."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bolid.core.identity import Identity
    from bolid.core.identity_file import load_identity
    from bolid.pipelines import BoLIDPipeline

# Read by libraries when they are imported: no usage statistics are sent unless the user enables them.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

__all__ = ["BoLIDPipeline", "Identity", "__version__", "load_identity"]
_HOMES = {
    "BoLIDPipeline": "bolid.pipelines",
    "Identity": "bolid.core.identity",
    "load_identity": "bolid.core.identity_file",
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use: torch and diffusers take seconds to import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("bolid")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bolid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
