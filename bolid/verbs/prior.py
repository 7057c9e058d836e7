"""`bolid identity prior`: which bodies captions stand for, learned from labelled photos."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def fit_prior(
    folder: Path,
    out: Path = Path("data/body_prior"),
    encoder: str = "data/tiny/body_vae",
    backbone: str = "data/tiny/stable-diffusion",
    family: Literal["StableDiffusion", "StableDiffusionXL"] = "StableDiffusion",
    device: str = "cpu",
    seed: int = 0,
) -> str:
    """Fits the text prior p(c_body | caption) on the training people of a labelled folder.

    Fit it anew when the body encoder or the backbone's text encoder changes.

    Args:
        folder: With a manifest, as `bolid data label` and `bolid data render` write.
        out: Folder for the prior.
        encoder: Folder of the body encoder.
        backbone: Folder or hub id of the backbone whose text encoder reads the captions.
        family: Of the backbone.
        device: cpu, cuda, cuda:1, …
        seed: Of the samples of c_body that it is fitted to.

    Returns:
        A line that says what it was fitted to.

    Raises:
        BolidError: If something is missing or there are too few photos.
    """
    import torch
    from torch.utils.data import DataLoader
    from tqdm import tqdm

    from bolid.core.schema import PersonBatch
    from bolid.data.datamodule import split_records
    from bolid.data.dataset import LeaveOneOutDataset
    from bolid.data.manifest import read_manifest
    from bolid.models.body_prior import fit_body_prior
    from bolid.models.body_vae import body_vae_fingerprint, load_body_vae
    from bolid.pipelines.bolid import BACKBONES

    network = load_body_vae(encoder).eval().to(device)
    base = BACKBONES[family](backbone).to(device)
    size = tuple(network.config.size)
    records = split_records(read_manifest(folder), folder)["train"]
    people = LeaveOneOutDataset(records, folder, size, size, "person", training=False)
    codes, features, generator = [], [], torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for batch in tqdm(DataLoader(people, 32, collate_fn=PersonBatch.cat), "captions", unit="batch"):
            shown = batch.to(device)
            seen = network.encode(shown.reference_pictures, shown.reference_keypoints, shown.reference_mask)
            codes.append(seen.sample(generator).cpu())
            features.append(base.text_features(batch.full_captions).float().cpu())
    prior = fit_body_prior(torch.cat(codes), torch.cat(features), body_vae_fingerprint(encoder), base.text_model)
    prior.save_pretrained(out)
    return f"{out}: a prior over {prior.config.latent_dim} numbers, of {len(people)} captions"
