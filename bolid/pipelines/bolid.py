"""Images of a particular person: the stock diffusers pipeline with conditions in its UNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import BaseOutput
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity
from bolid.core.names import check_known, named
from bolid.core.pictures import to_image
from bolid.core.safe_io import atomic_path, load_safetensors
from bolid.core.schema import with_tensors
from bolid.models.attention import adapter_weights, load_adapter_weights, set_scales
from bolid.models.backbones import Backbone, Dtype
from bolid.models.body_prior import load_body_prior
from bolid.pipelines.adapter import build, card_of, check_card
from bolid.pipelines.card import read_card
from bolid.pipelines.identify import crop_sizes, identify, pose_alone, view_photos
from bolid.vision.face import FaceEmbedder
from bolid.vision.pose import PoseEstimator


class BoLIDPipeline:
    """Generates images of a person from a prompt; inference only.

    Args:
        backbone: A frozen backbone with the conditions installed (see `install_conditions`).
        conditions: The installed conditions by name, in the order of their installation.
    """

    def __init__(self, backbone: Backbone, conditions: Mapping[str, Condition]):
        self.backbone, self.conditions = backbone, named(conditions, "conditions")

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        backbone: str | None = None,
        encoder: str | None = None,
        dtype: Dtype = "float32",
        conditions: Sequence[type[Condition]] = (),
    ) -> BoLIDPipeline:
        """Loads what a fit of the adapter wrote.

        Args:
            folder: Holds `adapter.json` and one `.safetensors` per condition.
            backbone: Folder or hub id in place of the one it was trained on (same family and sizes).
            encoder: Folder of the body encoder in place of the card's; its weights must be the same.
            dtype: Precision of everything.
            conditions: Classes that cards may name beside those that are imported or installed.

        Raises:
            BolidError: If a file is missing or does not fit, or the body encoder is not the one of the training.
        """
        folder, card = read_card(folder)
        pipe = cls(*build(card, folder, backbone, encoder, dtype, conditions))
        pipe.load_weights(folder)
        if pipe.backbone.unet.dtype != torch.float32:  # the conditions' own weights are float32
            pipe.backbone.unet.to(pipe.backbone.unet.dtype)
        pipe.backbone.requires_grad_(False).eval()
        return pipe

    def load_weights(self, folder: str | Path) -> None:
        """Takes the weights of an exported adapter, whose conditions must be those that are installed here.

        Raises:
            BolidError: If names, kinds, sizes or encoders differ, or a file is missing or broken.
        """
        folder, card = read_card(folder)
        check_card(card, self.conditions, str(folder))
        for number, name in enumerate(self.conditions):
            load_adapter_weights(self.backbone.unet, number, load_safetensors(folder / f"{name}.safetensors"))

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `adapter.json` and, per condition, the IP-Adapter file that stock diffusers loads too."""
        for number, name in enumerate(self.conditions):
            with atomic_path(Path(folder) / f"{name}.safetensors") as part:
                save_file(adapter_weights(self.backbone.unet, number), part, metadata={"format": "pt"})
        card_of(self.backbone, self.conditions).write(Path(folder))

    def identity(
        self,
        photos: str | Path | Sequence[str | Path],
        pose: str = "data/tiny/pose",
        face: str | None = "data/tiny/face/face.onnx",
    ) -> Identity:
        """Reads a person off photos of them alone, see `view_photos`.

        Args:
            photos: A file or several, the more the better.
            pose: Folder of the pose network.
            face: File or folder of the face recogniser that the adapter was trained with; None leaves faces out.

        Raises:
            BolidError: If the recogniser is another one; see `view_photos` for the rest.
        """
        if not any(condition.personal for condition in self.conditions.values()):
            raise BolidError("this adapter has no condition that reads photos; make an `Identity` yourself")
        photos = [photos] if isinstance(photos, str | Path) else photos
        recogniser = self._recogniser(face) if face else None
        views = view_photos(photos, crop_sizes(self.conditions), PoseEstimator(Path(pose)), recogniser)
        return identify(self.conditions, views, recogniser.fingerprint if recogniser else "", self.backbone.unet.device)

    def _recogniser(self, path: str) -> FaceEmbedder:
        embedder = FaceEmbedder(Path(path))
        for condition in self.conditions.values():
            if condition.reads_faces:
                condition.check_fingerprint(embedder.fingerprint, path)
        return embedder

    @torch.no_grad()
    def imagine(
        self,
        prompt: str | Sequence[str],
        prior: str = "data/body_prior",
        seeds: Sequence[int] = (0,),
        temperature: float = 1.0,
    ) -> list[Identity]:
        """People whom prompts may be about: samples of c_body from the text prior, without a face.

        Args:
            prompt: One, or one per seed. The more it says of the body, the less is left to chance.
            prior: Folder that `bolid identity prior` wrote, with this adapter's body encoder and backbone.
            seeds: Of the samples, one for each.
            temperature: See `BodyPrior.sample`.

        Raises:
            BolidError: If the adapter has no body condition, the temperature is negative, or the prior is missing or of
                another encoder or backbone.
        """
        if temperature < 0:
            raise BolidError(f"temperature={temperature} must be 0 or more")
        name = next((name for name, c in self.conditions.items() if c.kind == "body"), None)
        if name is None:
            raise BolidError("this adapter has no body condition, so an imagined body would not show")
        model = self.conditions[name].fingerprint
        found = load_body_prior(prior, model, self.backbone.text_model)
        prompts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
        captions = zip(self.backbone.text_features(prompts).float().cpu(), seeds, strict=True)
        chance = torch.Generator()
        codes = [found.sample(features[None], chance.manual_seed(seed), temperature)[0] for features, seed in captions]
        return [Identity({name: Embedding(code, model)}) for code in codes]

    def to(self, device: str | torch.device) -> BoLIDPipeline:
        """Moves every network to `device`."""
        for module in (self.backbone, *self.conditions.values()):
            module.to(device)
        return self

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        identity: Identity | Sequence[Identity | None] | None = None,
        negative_prompt: str | None = None,
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
    ) -> ImageOutput:
        """Generates `num_images_per_prompt` images per prompt, those of one prompt side by side.

        Args:
            prompt: One or B prompts.
            identity: One person for all prompts, one per prompt, or None for no identity.
            negative_prompt: What to steer away from; only with guidance.
            height: Height in pixels; the backbone's own size by default, as `width`.
            width: Width in pixels.
            num_inference_steps: Denoising steps.
            guidance_scale: s in ε = ε_uncond + s·(ε_cond − ε_uncond); 1 is off.
            num_images_per_prompt: Images per prompt.
            scale: λ, for every condition or by a condition's name (a missing name means 1).
            seed: Image number i starts from seed + i, whatever the batch.
            output_type: `pil`, or `pt` for a tensor (N, 3, H, W) in 0..1.
            pose: In which pose, if the adapter has a pose condition: (17, 3) COCO keypoints, x and y as shares of the
                image's width and height, and confidence, 0 for unknown.
            negative_body: See `generate`.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        one = identity is None or isinstance(identity, Identity)
        people: list[Identity | None] = [identity] * len(prompts) if one else list(identity)  # type: ignore
        if len(people) != len(prompts):
            raise BolidError(f"{len(people)} identities for {len(prompts)} prompts: give one, or one per prompt")
        rows = [i for i in range(len(prompts)) for _ in range(num_images_per_prompt)]
        scales = self._scales(scale)
        images = self.generate(
            [prompts[i] for i in rows],
            self.embeds([people[i] for i in rows], pose),
            {} if identity is None and pose is None else scales,
            [seed + i for i in range(len(rows))],
            guidance_scale=guidance_scale,
            negative_body=negative_body,
            num_inference_steps=num_inference_steps,
            negative_prompt=None if negative_prompt is None else [negative_prompt] * len(rows),
            height=height,
            width=width,
        )
        return ImageOutput(images=images if output_type == "pt" else [to_image(image) for image in images])

    def _scales(self, scale: float | Mapping[str, float]) -> dict[str, float]:
        if not isinstance(scale, Mapping):
            return {name: float(scale) for name in self.conditions}
        check_known(scale, self.conditions, "scale", "condition")
        return {name: float(scale.get(name, 1.0)) for name in self.conditions}

    def embeds(self, identities: Sequence[Identity | None], pose: Tensor | None = None) -> dict[str, Tensor]:
        """By condition the embeddings (B, E) of people who are all in one pose (17, 3), zero where unknown.

        Raises:
            BolidError: If one was read by another network than the condition was trained with, or has another size, or
                no condition takes a pose.
        """
        if pose is not None:
            self.check_pose(pose)
        asked = with_tensors(pose_alone(pose, len(identities)), lambda tensor: tensor.to(self.backbone.unet.device))
        return {
            name: torch.stack([self._embedding(name, person) for person in identities])
            if condition.personal
            else condition.embed(asked)
            for name, condition in self.conditions.items()
        }

    def check_pose(self, pose: Tensor | None = None) -> None:
        """Refuses a pose where no condition takes one, or of another shape than (17, 3).

        Raises:
            BolidError: If it is refused.
        """
        if all(condition.personal for condition in self.conditions.values()):
            raise BolidError("this adapter takes no pose: train one with configs/experiment/pose.yaml")
        if pose is not None and pose.shape != (17, 3):
            raise BolidError(f"a pose is 17 keypoints of x, y and confidence, not {' x '.join(map(str, pose.shape))}")

    def _embedding(self, name: str, person: Identity | None) -> Tensor:
        condition = self.conditions[name]
        if person is None or name not in person:
            return torch.zeros(condition.embed_dim)
        values, model = person[name]
        condition.check_fingerprint(model, f"what read the identity's {name}")
        if values.shape != (condition.embed_dim,):
            shape = " x ".join(map(str, values.shape))
            raise BolidError(f"the identity's {name} has {shape} numbers, the condition takes {condition.embed_dim}")
        return values.float().cpu()

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
        **stock: Any,
    ) -> Tensor:
        """Runs the stock pipeline.

        Classifier-free guidance steers away from ε_uncond, which is given the negative prompt and no condition.

        Args:
            prompts: B prompts.
            embeds: By condition (B, E); zero where a name is missing.
            scales: λ by condition; off where a name is missing.
            seeds: B seeds, one per image.
            guidance_scale: 1 is off.
            negative_body: Whether ε_uncond is given the opposite (see `Condition.opposite`) in place of no condition:
                −c_body in place of zeros increases the effective guidance of the body, about 2s − 1 in place of s.
            stock: Further arguments of the stock pipeline's `__call__`.

        Returns:
            (B, 3, H, W) in 0..1.
        """
        check_known({*embeds, *scales}, self.conditions, "generate", "condition")
        unet = self.backbone.unet
        rows = [e.to(unet.device, unet.dtype)[:, None] for e in self._complete(embeds, len(prompts))]  # (B, 1, E)
        if guidance_scale > 1:  # stock diffusers wants the negatives first
            nothing = [
                c.opposite(r) if negative_body else torch.zeros_like(r)
                for c, r in zip(self.conditions.values(), rows, strict=True)
            ]
            rows = [torch.cat(pair) for pair in zip(nothing, rows, strict=True)]
        set_scales(unet, [scales.get(name, 0.0) for name in self.conditions])
        try:
            return self.backbone.pipeline(
                prompts,
                ip_adapter_image_embeds=rows or None,  # None: a base model alone
                guidance_scale=guidance_scale,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                output_type="pt",
                **stock,
            ).images
        finally:
            set_scales(unet, [1.0] * len(self.conditions))

    def _complete(self, embeds: Mapping[str, Tensor], count: int) -> list[Tensor]:
        """(B, E) of every condition, zero where it is missing."""
        return [
            embeds[name] if name in embeds else torch.zeros(count, condition.embed_dim)
            for name, condition in self.conditions.items()
        ]


@dataclass
class ImageOutput(BaseOutput):
    """`images`: a list of PIL images, or a tensor (N, 3, H, W) in 0..1."""

    images: list[Image.Image] | Tensor
