"""What attention costs on one core in bfloat16 and in float32, forward and backward: milliseconds and their ratio.

Sizes are those of the embedded UNet, for 8 pictures: `python benchmarks/attention.py`.
"""

import time

import torch
import torch.nn.functional as F

ROUNDS = 20
SIZES = {  # heads, queries, keys, width of a head
    "self, 24×16": (1, 384, 384, 48),
    "self, 12×8": (4, 96, 96, 32),
    "text, 24×16": (1, 384, 77, 48),
    "text, 12×8": (4, 96, 77, 32),
    "body, 24×16": (1, 384, 16, 48),
}


def milliseconds(heads: int, queries: int, keys: int, width: int, dtype: torch.dtype) -> float:
    """The median of attending once, forward and backward."""
    shapes = [(8, heads, count, width) for count in (queries, keys, keys)]
    q, k, v = (torch.randn(shape).to(dtype).requires_grad_() for shape in shapes)
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        F.scaled_dot_product_attention(q, k, v).sum().backward()
        taken.append(1000 * (time.perf_counter() - start))
    return sorted(taken)[ROUNDS // 2]


def main() -> None:
    """Takes turns, so that whatever else the machine does slows both down."""
    torch.set_num_threads(1)
    for name, size in SIZES.items():
        coarse, fine = (milliseconds(*size, dtype) for dtype in (torch.bfloat16, torch.float32))
        print(f"{name:12} bfloat16 {coarse:6.2f} ms, float32 {fine:6.2f} ms, ratio {coarse / fine:4.1f}")


if __name__ == "__main__":
    main()
