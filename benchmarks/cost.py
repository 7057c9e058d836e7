"""What training an adapter for Stable Diffusion 1.5 or SDXL costs, by counting: no weights and no GPU are needed.

The operations of the UNet's forward pass are counted at the recipe's image size, on tensors without contents. It is
frozen, so a step costs one forward pass, one pass back to the activations of about the same size, and with gradient
checkpointing the forward pass again: three passes. VAE, text encoders and data are left out.
"""

import argparse

import torch
import yaml
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

PASSES = 3
XL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SHAPES = {"sd15": {"cross_attention_dim": 768}, "sdxl": XL}  # of the published UNets


def forward_flops(name: str, height: int, width: int) -> int:
    """Floating-point operations of one forward pass for one image of this size in pixels."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SHAPES[name])
        unet.set_attn_processor(unet.attn_processors)
        latents = torch.zeros(1, 4, height // 8, width // 8)
        text = torch.zeros(1, 77, SHAPES[name]["cross_attention_dim"])
        added = {"text_embeds": torch.zeros(1, 1280), "time_ids": torch.zeros(1, 6)} if name == "sdxl" else None
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            unet(latents, torch.zeros(1), text, added_cond_kwargs=added)
    return counter.get_total_flops()


def main() -> None:
    """Prints a line for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tflops", type=float, default=150, help="what the device reaches, 1e12 a second")
    arguments = parser.parse_args()
    for name in SHAPES:
        with open(f"configs/recipe/{name}.yaml") as file:
            recipe = yaml.safe_load(file)
        trainer, data = recipe["trainer"], recipe["data"]["init_args"]
        samples = trainer["max_steps"] * trainer["accumulate_grad_batches"] * data["batch_size"]
        each = PASSES * forward_flops(name, *data["size"])
        days = samples * each / (arguments.tflops * 1e12) / 86400
        print(
            f"{name}: {samples / 1e6:.1f} million samples of {each / 1e12:.1f} TFLOP, "
            f"{days:.0f} days at {arguments.tflops:g} TFLOP/s"
        )


if __name__ == "__main__":
    main()
