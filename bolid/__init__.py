"""BoLID: pictures of a particular person, body and face, from a frozen Stable Diffusion and small adapters."""

import os

# Read by libraries when they are imported: nothing is sent that nobody asked for.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
