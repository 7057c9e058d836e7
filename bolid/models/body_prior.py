"""The text prior p(c_body | caption), to sample bodies without photos."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.paths import find_folder

PENALTIES = torch.logspace(-3, 4, 15, dtype=torch.float64)  # candidates; a fit selects the best on held-out people
LEFT_OUT = 5  # every fifth person
SMALLEST = 1e-6  # variance in any direction


class BodyPrior(ModelMixin, ConfigMixin):
    """A conditional Gaussian N(c; W f + b, L Lᵀ) with full covariance, f the backbone's caption features.

    Args:
        latent_dim: d, the size of c_body.
        text_dim: Size of the caption features.
        body_model: SHA-256 of the encoder whose codes it was fitted to, since codes of another are incompatible.
        text_model: SHA-256 of the text encoder of the features, see `Backbone.text_model`.
    """

    weight: Tensor
    bias: Tensor
    factor: Tensor

    @register_to_config
    def __init__(self, latent_dim: int = 64, text_dim: int = 128, body_model: str = "", text_model: str = ""):
        super().__init__()
        # parameters, since diffusers saves and casts those; no optimiser ever sees them
        for name, shape in (("weight", (latent_dim, text_dim)), ("bias", (latent_dim,)), ("factor", (latent_dim,) * 2)):
            self.register_parameter(name, torch.nn.Parameter(torch.zeros(shape), requires_grad=False))

    def mean(self, features: Tensor) -> Tensor:
        """The mean body of each caption: features (B, D) -> (B, d)."""
        return features.to(self.weight) @ self.weight.T + self.bias

    def sample(self, features: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """Samples a body for each caption: features (B, D) -> (B, d).

        Args:
            features: Caption features.
            generator: Generator of the noise.
            temperature: Factor on deviations from the mean: 1 for the distribution itself, less for bodies closer to
                the mean, 0 for the mean.
        """
        noise = torch.randn(len(features), self.config.latent_dim, generator=generator)
        return self.mean(features) + temperature * noise.to(self.factor) @ self.factor.T

    def log_prob(self, codes: Tensor, features: Tensor) -> Tensor:
        """log p(c | caption) in nats: codes (B, d), features (B, D) -> (B,)."""
        residual = torch.linalg.solve_triangular(self.factor, (codes - self.mean(features)).T, upper=False)  # (d, B)
        return (
            -0.5 * (residual.square().sum(0) + len(residual) * math.log(2 * math.pi))
            - self.factor.diagonal().log().sum()
        )


def fit_body_prior(
    codes: Tensor, features: Tensor, people: Sequence[str], body_model: str = "", text_model: str = ""
) -> BodyPrior:
    """Fits the prior by ridge regression; the penalty maximises the likelihood of held-out people.

    Args:
        codes: (N, d) c_body, one per caption.
        features: (N, D) caption features.
        people: N identities, to hold out whole people: captions of one person are similar.
        body_model: See `BodyPrior`, as `text_model`.

    Raises:
        BolidError: If there are too few codes for a covariance.
    """
    if len(codes) <= 2 * codes.shape[1]:
        raise BolidError(f"{len(codes)} captions are too few for a prior over {codes.shape[1]} numbers")
    codes, features = codes.double(), features.double()
    number = {person: k for k, person in enumerate(dict.fromkeys(people))}
    held = torch.tensor([number[person] % LEFT_OUT == 0 for person in people])
    tried = [_ridge(codes[~held], features[~held], p).log_prob(codes[held], features[held]).mean() for p in PENALTIES]
    found = _ridge(codes, features, PENALTIES[torch.stack(tried).argmax()])
    prior = BodyPrior(codes.shape[1], features.shape[1], body_model, text_model)
    prior.load_state_dict(found.state_dict())
    return prior


def _ridge(codes: Tensor, features: Tensor, penalty: Tensor) -> BodyPrior:
    """Ridge regression in double precision; the covariance is that of the residuals."""
    centre, middle = features.mean(0), codes.mean(0)
    x, y = features - centre, codes - middle
    penalties = penalty * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(x.T @ x + penalties, x.T @ y).T  # (d, D)
    covariance = (y - x @ weight.T).T.cov() + SMALLEST * torch.eye(y.shape[1], dtype=y.dtype)
    prior = BodyPrior(y.shape[1], x.shape[1]).double()
    values = {"weight": weight, "bias": middle - weight @ centre, "factor": torch.linalg.cholesky(covariance)}
    prior.load_state_dict(values)
    return prior


def load_body_prior(path: str, body_model: str = "", text_model: str = "") -> BodyPrior:
    """Loads the prior of a folder, from safetensors only.

    Args:
        path: Folder of the prior.
        body_model: SHA-256 that its body encoder must have; empty for any.
        text_model: SHA-256 that its text encoder must have; empty for any.

    Raises:
        BolidError: If it is missing, unreadable, or was fitted with other encoders.
    """
    remedy = "fit one with `bolid identity prior`"
    folder = find_folder(path, "config.json", remedy)
    try:
        prior = BodyPrior.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise BolidError(f"{folder} holds no readable prior: copy it anew or {remedy} ({error})") from error
    for what, wanted in (("body_model", body_model), ("text_model", text_model)):
        found = prior.config[what]
        if wanted and found and wanted != found:
            raise BolidError(f"{folder} was fitted with another {what} ({found[:8]}, not {wanted[:8]}): {remedy} anew")
    return prior
