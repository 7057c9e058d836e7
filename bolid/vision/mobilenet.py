"""MobileNetV2 with a feature pyramid, as in MoveNet MultiPose: batch norms folded, TensorFlow's padding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

# Output channels and stride of each inverted residual block, MobileNetV2 1.4 times as wide.
BLOCKS = (
    (24, 1), (40, 2), (40, 1), (48, 2), (48, 1), (48, 1), (96, 2), (96, 1), (96, 1), (96, 1), (144, 1), (144, 1),
    (144, 1), (240, 2), (240, 1), (240, 1), (480, 1),
)  # fmt: skip
STEM, EXPANSION, TOP = 48, 6, 1280
LATERALS = {2: 24, 5: 32, 9: 64}  # block -> channels of its lateral connection, at strides 4, 8 and 16
PYRAMID = 24  # channels of the pyramid's finest map, at stride 4


class Same(nn.Module):
    """TensorFlow's SAME padding of a 3 x 3 convolution with stride 2 and even sides: bottom and right only."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H + 1, W + 1)."""
        return F.pad(maps, [0, 1, 0, 1])


def convolution(inputs: int, outputs: int, stride: int = 1, depthwise: bool = False, act: bool = True) -> nn.Sequential:
    """A 3 x 3 convolution with bias and, by default, ReLU6."""
    groups = inputs if depthwise else 1
    kernel = nn.Conv2d(inputs, outputs, 3, stride, 0 if stride > 1 else 1, groups=groups)
    return nn.Sequential(Same() if stride > 1 else nn.Identity(), kernel, nn.ReLU6() if act else nn.Identity())


class InvertedResidual(nn.Module):
    """A MobileNetV2 block: expansion, depthwise convolution, projection; residual if shapes agree.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        stride: Stride of the depthwise convolution.
        expansion: Expansion factor of the hidden width.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = nn.Conv2d(inputs, width, 1) if expansion > 1 else nn.Identity()
        self.widened = nn.ReLU6() if expansion > 1 else nn.Identity()
        self.depthwise = convolution(width, width, stride, depthwise=True)
        self.project = nn.Conv2d(width, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        out = self.project(self.depthwise(self.widened(self.expand(maps))))
        return maps + out if self.adds else out


class Separable(nn.Module):
    """A depthwise-separable 3 x 3 convolution with ReLU.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W), at least 0."""
        return F.relu(self.pointwise(self.depthwise(maps)))


class MobileNetPyramid(nn.Module):
    """Feature pyramid from images to one map at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(3, STEM, stride=2)
        inputs = [STEM, *(outputs for outputs, _ in BLOCKS)]
        self.blocks = nn.ModuleList(
            InvertedResidual(before, outputs, stride, EXPANSION if number else 1)
            for number, (before, (outputs, stride)) in enumerate(zip(inputs, BLOCKS, strict=False))
        )
        self.top = nn.Conv2d(inputs[-1], TOP, 1)
        self.top_lateral = nn.Conv2d(TOP, LATERALS[9], 1)
        self.laterals = nn.ModuleDict({str(k): nn.Conv2d(BLOCKS[k][0], width, 1) for k, width in LATERALS.items()})
        self.merges = nn.ModuleDict(
            {"9": Separable(LATERALS[9], LATERALS[5]), "5": Separable(LATERALS[5], LATERALS[2])}
            | {"2": Separable(LATERALS[2], PYRAMID)}
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in -1..1, sides multiples of 32 -> (B, 24, H / 4, W / 4), at least 0."""
        maps, taken = self.stem(pictures), {}
        for number, block in enumerate(self.blocks):
            maps = block(maps)
            if number in LATERALS:
                taken[str(number)] = self.laterals[str(number)](maps)
        maps = self.top_lateral(F.relu6(self.top(maps)))  # (B, 64, H / 32, W / 32)
        for level in ("9", "5", "2"):
            finer = F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
            maps = self.merges[level](finer + taken[level])
        return maps


def head(outputs: int, width: int = 96) -> nn.Sequential:
    """An output head on the pyramid: (B, 24, h, w) -> (B, outputs, h, w)."""
    return nn.Sequential(Separable(PYRAMID, width), nn.Conv2d(width, outputs, 1))
