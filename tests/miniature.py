"""Randomly initialised models in miniature, and batches for them: real classes, no training, no network."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from bolid.bundle.new import train_tokenizer
from bolid.core.schema import References, TrainingBatch, Views
from bolid.models.body_vae import BodyVAE
from bolid.synthetic.readers.anthropometer import AnthropometerNetwork
from bolid.synthetic.readers.attributes import AttributeNetwork
from bolid.synthetic.wording import attributes

CAPTIONS = ["a photo of a woman, wearing a red shirt, standing", "a photo of a man, wearing a blue coat, walking"]
SIZE = (48, 32)


def _text(tokenizer, width: int, projection: int, kind=CLIPTextModel):
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=1,
            num_attention_heads=2, projection_dim=projection, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, sample_size=48,
    )  # fmt: skip


def _unet(cross: int, **more) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=(SIZE[0] // 2, SIZE[1] // 2), down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), block_out_channels=(8, 16), layers_per_block=1,
        cross_attention_dim=cross, attention_head_dim=2, norm_num_groups=4, **more,
    )  # fmt: skip


def _scheduler(prediction_type: str) -> DDIMScheduler:
    return DDIMScheduler(
        clip_sample=False, prediction_type=prediction_type, timestep_spacing="trailing", steps_offset=1
    )


def save_sd(folder: Path, prediction_type: str = "epsilon", seed: int = 0) -> Path:
    """A miniature Stable Diffusion for pictures of `SIZE`."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(CAPTIONS, reserved="")
    StableDiffusionPipeline(
        vae=_vae(), text_encoder=_text(tokenizer, 16, 16), tokenizer=tokenizer, unet=_unet(16),
        scheduler=_scheduler(prediction_type), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_sdxl(folder: Path, seed: int = 0) -> Path:
    """A miniature SDXL: two text encoders, pooled text, size and crop conditions."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(CAPTIONS)
    unet = _unet(
        32, addition_embed_type="text_time", addition_time_embed_dim=8, projection_class_embeddings_input_dim=16 + 6 * 8
    )
    StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_text(tokenizer, 16, 16), tokenizer=tokenizer, tokenizer_2=tokenizer,
        text_encoder_2=_text(tokenizer, 16, 16, CLIPTextModelWithProjection), unet=unet,
        scheduler=_scheduler("epsilon"), add_watermarker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_body_vae(folder: Path, text_dim: int = 16, seed: int = 0) -> Path:
    """An untrained body encoder, d = 8."""
    torch.manual_seed(seed)
    BodyVAE(latent_dim=8, size=SIZE, text_dim=text_dim, channels=(8, 8, 16), width=16, heads=2).save_pretrained(folder)
    return folder


def batch(count: int = 4, references: int = 2, seed: int = 0) -> TrainingBatch:
    """Random pictures with plausible keypoints; the last reference of the last sample is missing."""
    g = torch.Generator().manual_seed(seed)
    height, width = SIZE

    def keypoints(*shape: int):
        points = torch.rand(*shape, 17, 3, generator=g) * torch.tensor([width, height, 1.0])
        points[..., 2] = (points[..., 2] > 0.1).float()
        return points * points[..., 2:]

    mask = torch.ones(count, references, dtype=torch.bool)
    if references > 1:
        mask[-1, -1] = False
    seen = keypoints(count)
    faces = torch.nn.functional.normalize(torch.randn(count, references, 512, generator=g), dim=-1) * mask[..., None]
    pictures, canonical = torch.rand(count, 3, height, width, generator=g) * 2 - 1, keypoints(count)
    return TrainingBatch(
        pictures=pictures,
        captions=[CAPTIONS[i % 2] for i in range(count)],
        full_captions=[CAPTIONS[i % 2] for i in range(count)],
        asked=[attributes(CAPTIONS[i % 2]) for i in range(count)],
        full_asked=[attributes(CAPTIONS[i % 2]) for i in range(count)],
        keypoints=seen,
        keypoints_found=seen.clone(),
        keypoints_canonical=canonical,
        silhouettes=(torch.rand(count, 1, height, width, generator=g) > 0.5).float(),
        silhouette_known=torch.ones(count, dtype=torch.bool),
        whole_figure=torch.zeros(count, dtype=torch.bool),
        time_ids=torch.tensor([[height, width, 0, 0, height, width]]).float().repeat(count, 1),
        references=References(
            pictures=torch.rand(count, references, 3, height, width, generator=g) * 2 - 1,
            keypoints=keypoints(count, references),
            mask=mask,
            faces=faces,
            face_mask=mask.clone(),
            pose=canonical / torch.tensor([width, height, 1.0]),
            proportions=torch.full((count, 7), torch.nan),
            names=[[f"test/p{i}_{1 + j}.png" for j in range(references)] for i in range(count)],
            captions=[[CAPTIONS[i % 2]] * references for i in range(count)],
            attributes=[[attributes(CAPTIONS[i % 2])] * references for i in range(count)],
        ),
        outfit=Views(torch.zeros(count, 0, 3, 96, 64), torch.zeros(count, 0, 17, 3), torch.zeros(count, 0).bool()),
        groups=torch.arange(count),
        identities=[f"p{i}" for i in range(count)],
        families=[f"p{i}" for i in range(count)],
        file_names=[f"test/p{i}_0.png" for i in range(count)],
    )


def save_bundle(folder: Path) -> Path:
    """A stand-in for `data/tiny`: every member random, small, and of the real class."""
    import open_clip

    from bolid.bundle.clip import ClipSize
    from bolid.bundle.face import FaceNetwork, export_face
    from bolid.bundle.pose import new_pose_model
    from bolid.vision.clip import save_clip_model
    from bolid.vision.pose import save_pose_model

    save_sd(folder / "stable-diffusion", "v_prediction")
    torch.manual_seed(0)
    BodyVAE(latent_dim=8, size=(144, 96), text_dim=16, channels=(8, 8), width=16, heads=2).save_pretrained(
        folder / "body_vae"
    )
    shutil.copytree(folder / "body_vae", folder / "body_vae_photos")
    save_pose_model(new_pose_model(0.33, 0.0625), folder / "pose", 96)
    config = ClipSize(patch_size=16, width=32, vision_layers=1, text_layers=1).open_clip(49408)
    for name in ("clip_score", "clip_loss"):
        save_clip_model(open_clip.CLIP(**config), config, folder / name)
    export_face(FaceNetwork((8, 8, 8, 8)), folder / "face")
    for name in ("attributes", "attributes_loss"):
        AttributeNetwork(channels=(8, 8), width=16).save_pretrained(folder / name)
    for name in ("anthropometer", "anthropometer_loss"):
        AnthropometerNetwork(channels=(8, 8), fine=8, width=16).save_pretrained(folder / name)
    return folder


def save_inception(path: Path) -> Path:
    """Random weights for InceptionV3: torch-fidelity builds its network only together with a file of them."""
    from unittest.mock import patch

    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with patch("torch.load"), patch.object(torch.nn.Module, "load_state_dict"):
        network = FeatureExtractorInceptionV3("x", ["2048"], "x")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return path
