"""Pictures of a particular person: the stock diffusers pipeline with the identity branches in its UNet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import BaseOutput
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from bolid.conditions import BodyCondition, Condition, FaceCondition, PoseCondition
from bolid.conditions.image import ImageCondition
from bolid.conditions.pose import pose_numbers
from bolid.core.errors import BolidError
from bolid.core.identity import Identity
from bolid.core.paths import find_folder
from bolid.core.pictures import to_image
from bolid.core.safe_io import atomic_path, load_safetensors, write_text
from bolid.models.attention import adapter_weights, install_branches, load_adapter_weights, set_scales
from bolid.models.backbones import Backbone, Dtype, StableDiffusion, StableDiffusionXL
from bolid.models.body_prior import load_body_prior
from bolid.pipelines.identify import look_at, mean_face
from bolid.vision.face import FaceEmbedder
from bolid.vision.pose import PoseEstimator

BACKBONES = {c.__name__: c for c in (StableDiffusion, StableDiffusionXL)}
BRANCHES = {c.name: c for c in (FaceCondition, BodyCondition, ImageCondition, PoseCondition)}
CARD = "adapter.json"


class BoLIDPipeline:
    """Draws pictures of a person from a prompt; inference only.

    Args:
        backbone: A frozen backbone with `branches` installed (see `install_branches`).
        branches: The installed branches, in order.
    """

    def __init__(self, backbone: Backbone, branches: Sequence[Condition]):
        self.backbone, self.branches = backbone, list(branches)

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, backbone: str | None = None, dtype: Dtype = "float32"
    ) -> BoLIDPipeline:
        """Loads what a fit of the adapter wrote.

        Args:
            folder: Holds `adapter.json` and one `.safetensors` per branch.
            backbone: Folder or hub id in place of the one it was trained on (same family and sizes).
            dtype: Precision of everything.

        Raises:
            BolidError: If a file is missing or does not fit, or the body encoder is not the one of the training.
        """
        folder = find_folder(folder, CARD, "give the `adapter` folder that `bolid fit` writes into its run")
        try:
            card = json.loads((folder / CARD).read_text())
            family, path = BACKBONES[card["backbone"]["family"]], card["backbone"]["path"]
            kinds = [(BRANCHES[kind["name"]], kind["arguments"]) for kind in card["branches"]]
        except (ValueError, LookupError, TypeError) as error:
            raise BolidError(
                f"{folder / CARD} is not a card that pipelines read ({error!r}): they know the backbones "
                f"{', '.join(BACKBONES)} and the branches {', '.join(BRANCHES)}"
            ) from error
        base = family(backbone or path, dtype=dtype)
        branches = [kind(**arguments) for kind, arguments in kinds]
        install_branches(base.unet, [b.projector(base.text_dim) for b in branches])
        for number, branch in enumerate(branches):
            load_adapter_weights(base.unet, number, load_safetensors(folder / f"{branch.name}.safetensors"))
        if base.unet.dtype != torch.float32:  # the branches' own weights are float32
            base.unet.to(base.unet.dtype)
        return cls(base.requires_grad_(False).eval(), branches)

    def save_pretrained(self, folder: Path) -> None:
        """Writes `adapter.json` and, per branch, the IP-Adapter file that stock diffusers loads too."""
        for number, branch in enumerate(self.branches):
            with atomic_path(Path(folder) / f"{branch.name}.safetensors") as part:
                save_file(adapter_weights(self.backbone.unet, number), part, metadata={"format": "pt"})
        card = {
            "backbone": {"family": type(self.backbone).__name__, "path": self.backbone.path},
            "branches": [{"name": b.name, "arguments": b.arguments} for b in self.branches],
        }
        write_text(Path(folder) / CARD, json.dumps(card, indent=2) + "\n")

    def identity(
        self,
        photos: str | Path | Sequence[str | Path],
        pose: str = "data/tiny/pose",
        face: str | None = "data/tiny/face/face.onnx",
    ) -> Identity:
        """Reads a person off photos of them alone, see `look_at`.

        Args:
            photos: A file or several, the more the better.
            pose: Folder of the pose network.
            face: File or folder of the face recogniser that the adapter was trained with; None leaves faces out.

        Raises:
            BolidError: If the recogniser is another one; see `look_at` for the rest.
        """
        readers = [b for b in self.branches if isinstance(b, BodyCondition | ImageCondition)]
        if not readers:
            raise BolidError("this adapter has no branch that reads photos; make an `Identity` yourself")
        photos = [photos] if isinstance(photos, str | Path) else photos
        recogniser, estimator = self._recogniser(face) if face else None, PoseEstimator(Path(pose))
        looks = {size: look_at(photos, size, estimator, recogniser) for size in {b.crop_size for b in readers}}
        found = Identity(face=mean_face(looks[readers[0].crop_size]))
        for branch in readers:
            code = branch.read(looks[branch.crop_size])
            read: dict[str, Any] = {branch.name: code, f"{branch.name}_model": branch.fingerprint}
            found = replace(found, **read)
        return replace(found, face_model=recogniser.fingerprint) if recogniser else found

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
            BolidError: If the adapter has no body branch, the temperature is negative, or the prior is missing or of
                another encoder or backbone.
        """
        if temperature < 0:
            raise BolidError(f"temperature={temperature} must be 0 or more")
        body = next((b for b in self.branches if isinstance(b, BodyCondition)), None)
        if body is None:
            raise BolidError("this adapter has no body branch that could draw an imagined body")
        found = load_body_prior(prior, body.fingerprint, self.backbone.text_model)
        prompts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
        told = zip(self.backbone.text_features(prompts).float().cpu(), seeds, strict=True)
        chance = torch.Generator()
        codes = [found.sample(features[None], chance.manual_seed(seed), temperature)[0] for features, seed in told]
        return [Identity(body=code, body_model=body.fingerprint) for code in codes]

    def _recogniser(self, path: str) -> FaceEmbedder:
        embedder = FaceEmbedder(Path(path))
        for branch in self.branches:
            if isinstance(branch, FaceCondition):
                branch.check_fingerprint(embedder.fingerprint, path)
        return embedder

    def to(self, device: str | torch.device) -> BoLIDPipeline:
        """Moves every network to `device`."""
        for module in (self.backbone, *self.branches):
            module.to(device)
        return self

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        identity: Identity | Sequence[Identity] | None = None,
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
    ) -> PictureOutput:
        """Draws `num_images_per_prompt` pictures per prompt, those of one prompt side by side.

        Args:
            prompt: One or B prompts.
            identity: Who: one person for all prompts, one per prompt, or None for nobody in particular.
            negative_prompt: What to steer away from; only with guidance.
            height: Height in pixels; the backbone's own size by default, as `width`.
            width: Width in pixels.
            num_inference_steps: Denoising steps.
            guidance_scale: s in ε = ε_uncond + s·(ε_cond − ε_uncond); 1 is off.
            num_images_per_prompt: Pictures per prompt.
            scale: λ, for every branch or by a branch's name (a missing name means 1).
            seed: Picture number i is drawn from seed + i, whatever the batch.
            output_type: `pil`, or `pt` for a tensor (N, 3, H, W) in 0..1.
            pose: In which pose, if the adapter has a pose branch: (17, 3) COCO keypoints, x and y as shares of the
                picture's width and height, and confidence, 0 for unknown.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        people = list(identity) if isinstance(identity, Sequence) else [identity] * len(prompts)
        if len(people) != len(prompts):
            raise BolidError(f"{len(people)} identities for {len(prompts)} prompts: give one, or one per prompt")
        rows = [i for i in range(len(prompts)) for _ in range(num_images_per_prompt)]
        scales = self._scales(scale)
        nothing = identity is None and pose is None
        pictures = self.draw(
            [prompts[i] for i in rows],
            self.embeds([people[i] for i in rows], pose),
            [0.0] * len(scales) if nothing else scales,
            [seed + i for i in range(len(rows))],
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            negative_prompt=None if negative_prompt is None else [negative_prompt] * len(rows),
            height=height,
            width=width,
        )
        return PictureOutput(images=pictures if output_type == "pt" else [to_image(p) for p in pictures])

    def _scales(self, scale: float | Mapping[str, float]) -> list[float]:
        names = [b.name for b in self.branches]
        if not isinstance(scale, Mapping):
            return [float(scale)] * len(names)
        if unknown := sorted(scale.keys() - set(names)):
            raise BolidError(f"scale: no branch is called {', '.join(unknown)}; there are {', '.join(names)}")
        return [float(scale.get(name, 1.0)) for name in names]

    def embeds(self, people: Sequence[Identity | None], pose: Tensor | None = None) -> list[Tensor]:
        """Per branch the embeddings (B, E) of people who are all in one pose (17, 3), zero where unknown.

        Raises:
            BolidError: If one was read by another network than the branch was trained with, or has another size, or no
                branch takes a pose.
        """
        if pose is not None:
            self.check_pose(pose)
        rows = []
        for branch in self.branches:
            if isinstance(branch, PoseCondition):
                known = [None if pose is None else pose_numbers(pose)] * len(people)
            else:
                self._check(branch, people)
                known = [None if p is None else getattr(p, branch.name) for p in people]
            rows.append(torch.stack([torch.zeros(branch.embed_dim) if k is None else k.float().cpu() for k in known]))
        return rows

    def check_pose(self, pose: Tensor | None = None) -> None:
        """Refuses a pose where no branch takes one, or of another shape than (17, 3).

        Raises:
            BolidError: If it is refused.
        """
        if not any(isinstance(branch, PoseCondition) for branch in self.branches):
            raise BolidError("this adapter takes no pose: train one with configs/experiment/pose.yaml")
        if pose is not None and pose.shape != (17, 3):
            raise BolidError(f"a pose is 17 keypoints of x, y and confidence, not {' x '.join(map(str, pose.shape))}")

    def _check(self, branch: Condition, people: Sequence[Identity | None]) -> None:
        for person in filter(None, people):
            embedding, model = getattr(person, branch.name), getattr(person, f"{branch.name}_model")
            branch.check_fingerprint(model, f"what read the identity's {branch.name}")
            if embedding is not None and embedding.shape != (branch.embed_dim,):
                shape = " x ".join(map(str, embedding.shape))
                raise BolidError(
                    f"the identity's {branch.name} has {shape} numbers, the branch takes {branch.embed_dim}"
                )

    @torch.no_grad()
    def draw(
        self,
        prompts: list[str],
        embeds: list[Tensor],
        scales: list[float],
        seeds: list[int],
        guidance_scale: float = 3.0,
        opposite: bool = True,
        **arguments: Any,
    ) -> Tensor:
        """Runs the stock pipeline.

        Args:
            prompts: B prompts.
            embeds: Per branch (B, E).
            scales: λ per branch.
            seeds: B seeds, one per picture.
            guidance_scale: 1 is off.
            opposite: Whether guidance steers away from the opposite body; otherwise from nobody's.
            arguments: Further arguments of the stock pipeline's `__call__`.

        Returns:
            (B, 3, H, W) in 0..1.
        """
        unet = self.backbone.unet
        set_scales(unet, scales)
        try:
            return self.backbone.pipeline(
                prompts,
                ip_adapter_image_embeds=self._guided(embeds, guidance_scale, opposite) or None,  # a base model alone
                guidance_scale=guidance_scale,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                output_type="pt",
                **arguments,
            ).images
        finally:
            set_scales(unet, [1.0] * len(scales))

    def _guided(self, embeds: list[Tensor], guidance_scale: float, opposite: bool) -> list[Tensor]:
        """(B, E) to what stock diffusers wants: (2B, 1, E) with the negatives first, under guidance."""
        place = {"device": self.backbone.unet.device, "dtype": self.backbone.unet.dtype}
        rows = [e.to(**place)[:, None] for e in embeds]
        if guidance_scale <= 1:
            return rows
        away = [b.opposite(r) if opposite else torch.zeros_like(r) for b, r in zip(self.branches, rows, strict=True)]
        return [torch.cat(pair) for pair in zip(away, rows, strict=True)]


@dataclass
class PictureOutput(BaseOutput):
    """`images`: a list of PIL pictures, or a tensor (N, 3, H, W) in 0..1."""

    images: list[Image.Image] | Tensor
