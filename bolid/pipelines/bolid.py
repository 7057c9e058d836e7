"""`BoLIDPipeline`: the stock diffusers pipeline with identity and pose conditions in its UNet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.utils import BaseOutput
from PIL import Image
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.identity import Identity
from bolid.core.names import check_known
from bolid.models.attention import set_scales
from bolid.pipelines.embeds import embed_people
from bolid.pipelines.identify import identify
from bolid.pipelines.imagine import imagine
from bolid.pipelines.pretrained import PretrainedPipeline
from bolid.pipelines.reading import read_photos
from bolid.pipelines.request import OUTPUTS, check_inputs, check_prompts, check_request, per_prompt
from bolid.vision.choice import Kind, choose_for


class BoLIDPipeline(PretrainedPipeline):
    """Generates images of a person from a prompt, in the manner of a diffusers pipeline; inference only.

    Args:
        backbone: A frozen backbone with the conditions installed (see `install_conditions`).
        conditions: The installed conditions by name, in the order of their installation.

    Attributes:
        identities: Hashes of the training identities; None if unknown.
    """

    def identity(
        self,
        photos: str | Path | Sequence[str | Path],
        pose: str | None = None,
        face: str | None = None,
        person: str = "only",
        networks: Kind = "auto",
    ) -> Identity:
        """Embeds one or more photos of a person; more photos are better. See `view_photos`.

        Args:
            photos: Paths of the photos.
            pose: Folder or name of the pose network; by default that of `networks`.
            face: File or name of the face recogniser that the adapter was trained with; "none" leaves faces out.
            person: Selection in photos of several people: only (such photos are left out), left, right, largest, or a
                photo.
            networks: photographs, embedded (those of data/tiny, for rendered people only), or auto: embedded if all
                photos are marked as rendered.

        Raises:
            BolidError: If the face recogniser is not that of the adapter; see `view_photos` for the rest.
        """
        if not any(condition.personal for condition in self.conditions.values()):
            raise BolidError("this adapter has no condition that encodes photos; make an `Identity` yourself")
        photos = [photos] if isinstance(photos, str | Path) else photos
        views, face_model = read_photos(
            photos, self.conditions, choose_for(photos, networks, pose=pose, face=face), person
        )
        return identify(self.conditions, views, face_model, self.backbone.unet.device)

    def imagine(
        self,
        prompt: str | Sequence[str],
        prior: str = "data/body_prior",
        seeds: Sequence[int] = (0,),
        temperature: float = 1.0,
    ) -> list[Identity]:
        """Samples identities for prompts: c_body from the text prior p(c_body | caption), without a face.

        Args:
            prompt: One prompt, or one per seed. The more it says of the body, the less the samples vary.
            prior: Folder that `bolid identity prior` wrote, with this adapter's body encoder and backbone.
            seeds: One seed per sample.
            temperature: See `BodyPrior.sample`.

        Raises:
            BolidError: If the adapter has no body condition, the temperature is negative, or the prior is missing or of
                another encoder or backbone.
        """
        prompts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
        return imagine(self.backbone, self.conditions, prompts, prior, seeds, temperature)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        identity: Identity | Sequence[Identity | None] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 25,
        guidance_scale: float = 3.0,
        num_images_per_prompt: int = 1,
        scale: float | Mapping[str, float] = 1.0,
        seed: int = 0,
        output_type: str = "pil",
        pose: Tensor | None = None,
        negative_body: bool = False,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        callback_on_step_end: Callable | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        return_dict: bool = True,
    ) -> ImageOutput | tuple:
        """Generates `num_images_per_prompt` images per prompt; those of one prompt are consecutive.

        Args:
            prompt: One or B prompts.
            identity: One identity for all prompts, one per prompt, or None.
            negative_prompt: Negative prompt for all prompts, or one per prompt; needs guidance.
            height: Height in pixels; by default the backbone's own, as for `width`.
            width: Width in pixels.
            num_inference_steps: Number of denoising steps.
            guidance_scale: s in ε = ε_uncond + s·(ε_cond − ε_uncond); 1 is off.
            num_images_per_prompt: Number of images per prompt.
            scale: λ for every condition, or by the condition's name (1 for missing names).
            seed: Image i starts from the noise of seed + i, whatever the batch; `generator` or `latents` override it.
            output_type: `pil`, `np` for an array (N, H, W, 3) in 0..1, `pt` for a tensor (N, 3, H, W) in 0..1, or
                `latent` for latents (N, C, h, w).
            pose: Target pose, for adapters with a pose condition: (17, 3) COCO keypoints, x and y as shares of the
                image's width and height, and confidence, 0 for unknown.
            negative_body: See `generate`.
            generator: Generator of the noise: one for all images, or one per image.
            latents: Noise (N, C, h, w) to start from.
            callback_on_step_end: Called after every step with the stock pipeline, the step index, the timestep and the
                tensors by name; the tensors that it returns replace them.
            callback_on_step_end_tensor_inputs: Names of those tensors.
            return_dict: Whether to return an `ImageOutput`; else a tuple of its images.

        Raises:
            BolidError: If the request is invalid (see `check_request`), or the images are not finite.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        people = per_prompt(identity, Identity, len(prompts), "identities")
        negatives = per_prompt(negative_prompt, str, len(prompts), "negative prompts")
        rows = [i for i in range(len(prompts)) for _ in range(num_images_per_prompt)]
        negative = None if negative_prompt is None else [negatives[i] for i in rows]
        scales, seeds = self._scales(scale), [seed + i for i in range(len(rows))]
        check_prompts(prompts)
        check_prompts(negatives, "negative_prompt")
        check_request((height, width), num_inference_steps, guidance_scale, negative, scales.values(), seeds)
        check_inputs(len(rows), output_type, generator, latents, self.unet.config.in_channels)
        images = self.generate(
            [prompts[i] for i in rows],
            self.embeds([people[i] for i in rows], pose),
            # Without any embedding all λ are 0, which skips the conditions' attention.
            {} if identity is None and pose is None else scales,
            seeds,
            guidance_scale=guidance_scale,
            negative_body=negative_body,
            generator=generator,
            num_inference_steps=num_inference_steps,
            negative_prompt=negative,
            height=height,
            width=width,
            latents=latents,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=list(callback_on_step_end_tensor_inputs),
            output_type="latent" if output_type == "latent" else "pt",
        )
        if not images.isfinite().all():  # the images would be black
            raise BolidError(
                f"the images are not finite: the weights of {self.backbone.path} or of the adapter are broken, or "
                f"{self.backbone.vae.dtype} is too small for them: use float32 or bfloat16"
            )
        made = ImageOutput(images=OUTPUTS[output_type](images))
        return made if return_dict else made.to_tuple()

    def _scales(self, scale: float | Mapping[str, float]) -> dict[str, float]:
        if not isinstance(scale, Mapping):
            return {name: float(scale) for name in self.conditions}
        check_known(scale, self.conditions, "scale", "condition")
        return {name: float(scale.get(name, 1.0)) for name in self.conditions}

    def embeds(self, identities: Sequence[Identity | None], pose: Tensor | None = None) -> dict[str, Tensor]:
        """The embeddings (B, E) of each condition for identities in one pose (17, 3); see `embed_people`."""
        return embed_people(self.conditions, identities, pose, self.backbone.unet.device)

    @torch.no_grad()
    def generate(
        self,
        prompts: list[str],
        embeds: Mapping[str, Tensor],
        scales: Mapping[str, float],
        seeds: Sequence[int],
        *,
        guidance_scale: float = 3.0,
        negative_body: bool = False,
        generator: torch.Generator | list[torch.Generator] | None = None,
        **stock: Any,
    ) -> Tensor:
        """Runs the stock pipeline on embeddings.

        In classifier-free guidance ε_uncond receives the negative prompt and zero embeddings.

        Args:
            prompts: B prompts.
            embeds: Embeddings by condition, (B, E); zero for missing names.
            scales: λ by condition; 0 for missing names.
            seeds: B seeds, one per image.
            guidance_scale: See `__call__`.
            negative_body: Whether ε_uncond receives `Condition.opposite` instead of zeros. Using −c_body increases the
                effective body guidance from s to about 2s − 1.
            generator: Generator of the noise, instead of the seeds.
            stock: Further arguments of the stock pipeline's `__call__`.

        Returns:
            (B, 3, H, W) in 0..1, unless `stock` asks for another `output_type`.
        """
        check_known({*embeds, *scales}, self.conditions, "generate", "condition")
        unet = self.backbone.unet
        device = self.device  # the UNet may be offloaded to the CPU
        # Diffusers needs an embedding for every installed condition, also for inactive ones.
        complete = {n: embeds.get(n, torch.zeros(len(prompts), c.embed_dim)) for n, c in self.conditions.items()}
        rows = [e.to(device, unet.dtype)[:, None] for e in complete.values()]  # (B, 1, E)
        if guidance_scale > 1 and unet.config.time_cond_proj_dim is None:  # stock diffusers expects the negatives first
            opposites = [c.opposite(row) for c, row in zip(self.conditions.values(), rows, strict=True)]
            nothing = opposites if negative_body else [torch.zeros_like(row) for row in rows]
            rows = [torch.cat(pair) for pair in zip(nothing, rows, strict=True)]
        # λ is state of the shared UNet, so that it is restored after the call.
        set_scales(unet, [scales.get(name, 0.0) for name in self.conditions])
        try:
            with self.backbone.mixed():
                return self.backbone.pipeline(
                    prompts,
                    ip_adapter_image_embeds=rows or None,  # None: a base model alone
                    guidance_scale=guidance_scale,
                    generator=generator or [torch.Generator().manual_seed(seed) for seed in seeds],
                    **({"output_type": "pt"} | stock),
                ).images
        finally:
            set_scales(unet, [1.0] * len(self.conditions))


@dataclass
class ImageOutput(BaseOutput):
    """`images`: a list of PIL images, an array (N, H, W, 3) or tensor (N, 3, H, W) in 0..1, or latents."""

    images: list[Image.Image] | np.ndarray | Tensor
