"""BoLID: pictures of a particular person, body and face, from a frozen Stable Diffusion and small adapters."""
