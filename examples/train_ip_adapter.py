"""Trains an IP-Adapter for a person's face and body in one file, in the manner of diffusers' training examples.

    accelerate launch examples/train_ip_adapter.py --pretrained_model_name_or_path data/tiny/stable-diffusion \
        --train_data_dir photos --body_encoder data/tiny/body_vae --output_dir runs/example --max_train_steps 400

`photos` is a folder that `bolid data annotate` or `bolid data render` has made. This is the whole method but for what
`bolid fit` adds: further losses, exponential moving averages, evaluation, resumption. What it writes is an adapter like
any other: `BoLIDPipeline.from_pretrained("runs/example")`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers.optimization import get_scheduler
from torch.nn import functional as F
from tqdm.auto import tqdm

from bolid import BoLIDPipeline
from bolid.conditions import BodyCondition, Condition, FaceCondition
from bolid.core.schema import TrainingBatch
from bolid.core.trained_on import TrainedOn
from bolid.data.datamodule import IdentityDataModule
from bolid.data.specs import ReferenceSpec
from bolid.models.attention import install_conditions
from bolid.models.backbones import Backbone, StableDiffusion, StableDiffusionXL
from bolid.models.noise import regression_target


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained_model_name_or_path", required=True, help="Folder or hub id of the base model.")
    parser.add_argument("--sdxl", action="store_true", help="The base model is Stable Diffusion XL.")
    parser.add_argument("--train_data_dir", type=Path, required=True, help="Folder with a manifest.")
    parser.add_argument("--body_encoder", required=True, help="Folder of the body encoder.")
    parser.add_argument("--output_dir", type=Path, required=True, help="Where the adapter is written.")
    parser.add_argument("--resolution", type=int, nargs=2, default=(96, 64), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--train_batch_size", type=int, default=16)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
    parser.add_argument("--max_train_steps", type=int, default=400)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--lr_scheduler", default="constant_with_warmup")
    parser.add_argument("--lr_warmup_steps", type=int, default=50)
    parser.add_argument("--adam_weight_decay", type=float, default=0.01)
    parser.add_argument("--max_grad_norm", type=float, default=1.0)
    parser.add_argument(
        "--drop", type=float, default=0.05, help="Share of samples without caption, face, body, or all."
    )
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision, gradient_accumulation_steps=args.gradient_accumulation_steps
    )
    set_seed(args.seed, device_specific=True)

    # The frozen base model; in its cross-attention each condition gets keys and values of its own, which are trained.
    backbone = (StableDiffusionXL if args.sdxl else StableDiffusion)(args.pretrained_model_name_or_path)
    body = BodyCondition(args.body_encoder)
    references = ReferenceSpec(size=body.crop_size)
    data = IdentityDataModule(
        args.train_data_dir, args.train_batch_size, tuple(args.resolution), references, seed=args.seed
    )
    data.prepare_data()
    data.setup("fit")
    sample = data.splits["train"]
    faces = next((len(r.face_embedding) for r in sample if r.face_embedding is not None), 512)
    conditions = {
        "face": FaceCondition(embed_dim=faces, fingerprint=data.face_model),
        "body": body,
    }
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in conditions.values()])
    model = Denoising(backbone, conditions, args.drop)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    optimizer = torch.optim.AdamW(trained, args.learning_rate, weight_decay=args.adam_weight_decay)
    processes = accelerator.num_processes  # a prepared schedule is stepped once by each
    lr_scheduler = get_scheduler(
        args.lr_scheduler, optimizer, args.lr_warmup_steps * processes, args.max_train_steps * processes
    )
    model, optimizer, loader, lr_scheduler = accelerator.prepare(
        model, optimizer, data.train_dataloader(), lr_scheduler
    )

    progress = tqdm(total=args.max_train_steps, disable=not accelerator.is_local_main_process)
    steps = 0
    while steps < args.max_train_steps:
        for batch in loader:
            with accelerator.accumulate(model):
                loss = model(batch.to(accelerator.device))
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(trained, args.max_grad_norm)
                optimizer.step()
                lr_scheduler.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                steps += 1
                progress.update()
                progress.set_postfix(loss=f"{loss.item():.4f}")
            if steps == args.max_train_steps:
                break

    if accelerator.is_main_process:
        identities = TrainedOn.of({record.identity for record in sample})
        BoLIDPipeline(backbone, conditions).save_pretrained(args.output_dir, identities)
    accelerator.end_training()


class Denoising(torch.nn.Module):
    """The loss of a batch as a module, so that gradients of several processes are averaged.

    Args:
        backbone: The base model with the conditions installed.
        conditions: By name.
        drop: Share of samples without the caption, without each condition, and without all of them.
    """

    def __init__(self, backbone: Backbone, conditions: dict[str, Condition], drop: float) -> None:
        super().__init__()
        self.backbone, self.conditions, self.drop = backbone, torch.nn.ModuleDict(conditions), drop

    def forward(self, batch: TrainingBatch) -> torch.Tensor:
        """Mean squared error of the noise prediction, given the caption and the person's other photos."""
        backbone, scheduler = self.backbone, self.backbone.noise_scheduler
        latents = backbone.encode_pictures(batch.pictures)
        noise = torch.randn_like(latents)
        timesteps = torch.randint(scheduler.config.num_train_timesteps, (len(latents),), device=latents.device)
        noisy = scheduler.add_noise(latents, noise, timesteps)

        # What is dropped now and then can be left out, or guided by, when images are generated.
        chance = torch.rand(len(latents), device=latents.device)
        parts = len(self.conditions) + 2
        dropped = [(chance >= self.drop * k) & (chance < self.drop * (k + 1)) for k in range(parts)]
        text = backbone.encode_prompt(batch.captions).where(~(dropped[0] | dropped[-1]), backbone.encode_nothing())
        embeds = []
        for condition, without in zip(self.conditions.values(), dropped[1:-1], strict=True):
            embed = condition.embed(batch.references)  # (B, E), of other photos of the person
            embeds.append(embed.masked_fill((without | dropped[-1])[:, None], 0)[:, None])

        predicted = backbone.predict(noisy, timesteps, text, embeds, batch.time_ids)
        return F.mse_loss(predicted.float(), regression_target(scheduler, latents, noise, timesteps).float())


if __name__ == "__main__":
    main()
