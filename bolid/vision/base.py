"""What every frozen network that looks at photos has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Frozen(nn.Module):
    """Holds a network that moves between devices with its owner and is otherwise left alone.

    The network is deliberately no submodule: so it has no part in its owner's `parameters()` (optimisers, DDP),
    `state_dict()` (checkpoints hold only what was trained) or `train()`. Gradients still flow through it to its input.

    Args:
        network: Is put in eval mode and frozen.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._held = [network.eval().requires_grad_(False)]  # in a list, which Module does not look into

    @property
    def network(self) -> Any:
        """The network itself, a Module of whichever library it is from."""
        return self._held[0]

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        """A copy is the thing itself: it never changes, and metrics are cloned for every column of a test."""
        return self

    def _apply(self, fn: Callable, recurse: bool = True) -> Frozen:
        self.network._apply(fn)  # what `.to()`, `.cuda()` and the like come down to
        return super()._apply(fn, recurse)


class FeatureNetwork(Frozen, ABC):
    """A network whose features FID, KID and the Inception score are computed on.

    Attributes:
        name: Goes into the metrics' names, since their values mean nothing without it.
        num_features: F, the size of a feature vector.
        num_classes: K, how many classes `logits` tells apart.
    """

    name: str
    num_features: int
    num_classes: int

    @abstractmethod
    def features(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 -> features (B, F) float32."""

    @abstractmethod
    def logits(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 -> unnormalised log-probabilities of K classes, (B, K) float32."""
