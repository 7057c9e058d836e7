"""Information in c_body, and its active dimensions."""

from __future__ import annotations

from bolid.metrics.base import Description
from bolid.metrics.looks import VIEWS, posterior
from bolid.metrics.probe import Measured, Probe, Seen

VARYING = 0.01  # minimum variance over people of an active dimension (Burda et al. 2016)


class CodeUsage(Probe):
    """`kl_nats` of the posterior of `VIEWS` photos, and the number of dimensions whose mean varies over people."""

    describes = {
        "kl_nats": Description(f"information in c_body of {VIEWS} photos against the standard normal", unit="nats"),
        "varying_dims": Description("dimensions of c_body that vary over people"),
    }
    fitted = False

    def __call__(self, seen: Seen) -> Measured:
        """See `Probe`; `varying_dims` needs at least two people."""
        found = posterior(seen.model, seen.test, list(seen.test.sets().values()))
        varying = float((found.mean.var(0) > VARYING).sum()) if len(found.mean) > 1 else 0.0
        return Measured({"kl_nats": found.kl().mean().item(), "varying_dims": varying})
