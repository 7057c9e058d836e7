"""Networks that are too small, or untrained, to be any good."""

import torch
from torch import nn

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def randomise(network, seed=0):
    """Weights under which signals neither vanish nor explode."""
    generator = torch.Generator().manual_seed(seed)
    for weights in network.parameters():
        if weights.ndim > 1:
            nn.init.kaiming_normal_(weights, generator=generator)
        else:
            nn.init.normal_(weights, std=0.1, generator=generator)
    return network
