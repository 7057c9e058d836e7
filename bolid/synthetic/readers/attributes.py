"""Network that classifies the attributes of captions in images."""

from __future__ import annotations

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from bolid.synthetic.readers.trunk import Trunk
from bolid.synthetic.wording import ATTRIBUTES


class AttributeNetwork(ModelMixin, ConfigMixin):
    """p(class | image) of every attribute in `bolid.synthetic.wording.ATTRIBUTES`.

    Args:
        size: Height and width of the images; divisible by 2 to the number of channels.
        channels: Channels after each halving.
        width: Size of the shared features.
        classes: Number of classes per attribute; weights do not fit another vocabulary. None takes the current one.
    """

    @register_to_config
    def __init__(
        self,
        size: tuple[int, int] = (96, 64),
        channels: tuple[int, ...] = (24, 48, 96, 128),
        width: int = 256,
        classes: tuple[int, ...] | None = None,
    ):
        super().__init__()
        classes = tuple(classes or map(len, ATTRIBUTES.values()))
        self.register_to_config(classes=classes)
        self.trunk = Trunk((size[0], size[1]), tuple(channels), width)
        self.heads = nn.ModuleList(nn.Linear(width, count) for count in classes)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in -1..1 -> attribute -> logits (B, classes)."""
        features = self.trunk(pictures)  # (B, width)
        return {name: head(features) for name, head in zip(ATTRIBUTES, self.heads, strict=True)}
