"""Base classes of frozen vision networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Frozen(nn.Module):
    """Holds a frozen network that follows its owner between devices.

    The network is deliberately no submodule, so that its owner's `parameters()` (optimisers, DDP), `state_dict()`
    (checkpoints) and `train()` exclude it. Gradients still flow through it to its input.

    Args:
        network: Network to set to eval mode and freeze.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._held = [network.eval().requires_grad_(False)]  # in a list, so that Module does not register it

    @property
    def network(self) -> Any:
        """The network itself, a module of any library."""
        return self._held[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        """Returns itself: it never changes, and metrics are cloned for every method of a test."""
        return self

    def _apply(self, fn: Callable, recurse: bool = True) -> Frozen:
        self.network._apply(fn)  # called by `.to()`, `.cuda()` and the like
        return super()._apply(fn, recurse)


class FeatureNetwork(Frozen, ABC):
    """A network that provides features for FID, KID and the Inception score.

    Attributes:
        name: Part of the metrics' names, since values of different networks are not comparable.
        num_features: F, the size of a feature vector.
        num_classes: K, the number of classes of `logits`.
    """

    name: str
    num_features: int
    num_classes: int

    @abstractmethod
    def features(self, pictures: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> features (B, F) float32."""

    @abstractmethod
    def logits(self, pictures: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> unnormalised log-probabilities of K classes, (B, K) float32."""
