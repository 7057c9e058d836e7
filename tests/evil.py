"""A configuration that names this module has it imported; what it makes must not be made."""

import os
from pathlib import Path


class Maker:
    """Leaves a file where it is made; may be called, too."""

    def __init__(self, path: str = "made"):
        Path(path).write_text("made")
        os.environ["BOLID_EVIL"] = "made"

    def __call__(self, *args, **kwargs):
        """As a callback's function, or an optimiser's constructor."""
