"""`bolid identity prior` and `directions`: what captions and proportions mean for c_body, learned from a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bolid.core.errors import BolidError

if TYPE_CHECKING:
    from bolid.core.schema import TrainingBatch
    from bolid.models.body_vae import BodyVAE, Posterior

BATCH = 32


def fit_prior(
    folder: Path,
    out: Path = Path("data/body_prior"),
    encoder: str = "data/tiny/body_vae",
    backbone: str = "data/tiny/stable-diffusion",
    family: Literal["StableDiffusion", "StableDiffusionXL"] = "StableDiffusion",
    device: str = "cpu",
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

    Returns:
        A line that says what it was fitted to.

    Raises:
        BolidError: If something is missing or there are too few photos.
    """
    import torch

    from bolid.models.body_prior import fit_body_prior
    from bolid.models.body_vae import body_vae_fingerprint, load_body_vae
    from bolid.pipelines.bolid import BACKBONES

    network = load_body_vae(encoder)
    base = BACKBONES[family](backbone).to(device)
    codes, features, people = [], [], []
    for batch, posterior in read_folder(folder, network, device):
        codes.append(posterior.mean.cpu())  # as an identity holds it: a sample's noise is no difference of bodies
        features.append(base.text_features(batch.full_captions).detach().float().cpu())
        people += batch.identities
    models = body_vae_fingerprint(encoder), base.text_model
    prior = fit_body_prior(torch.cat(codes), torch.cat(features), people, *models)
    prior.save_pretrained(out)
    return f"{out}: a prior over {prior.config.latent_dim} numbers, of {sum(map(len, codes))} captions"


def fit_directions(
    folder: Path,
    out: Path = Path("data/directions.safetensors"),
    encoder: str = "data/tiny/body_vae",
    device: str = "cpu",
) -> str:
    """Finds along which directions of c_body each proportion grows while the others stay, on rendered people.

    Args:
        folder: Of rendered people, whose proportions are known.
        out: File for the directions, which `bolid identity move` reads.
        encoder: Folder of the body encoder.
        device: cpu, cuda, cuda:1, …

    Returns:
        A line that says what was found, with the share of c_body's variance that proportions explain.

    Raises:
        BolidError: If something is missing or there are too few people.
    """
    import torch

    from bolid.models.body_directions import fit_body_directions, save_directions
    from bolid.models.body_vae import body_vae_fingerprint, load_body_vae
    from bolid.synthetic.measures import RATIOS, read_bodies, standardise

    bodies, codes, people = read_bodies(folder), [], []
    for batch, posterior in read_folder(folder, load_body_vae(encoder), device):
        codes.append(posterior.mean.cpu())
        people += batch.identities
    if strange := [who for who in people if who not in bodies]:
        raise BolidError(f"{folder}: the table of people does not know {strange[0]}; render the folder anew")
    directions, explained = fit_body_directions(torch.cat(codes), standardise([bodies[who] for who in people]))
    save_directions(directions, out, body_vae_fingerprint(encoder))
    return (
        f"{out}: {', '.join(RATIOS)}, which explain {explained:.0%} of c_body's variance over {len(set(people))} people"
    )


def read_folder(folder: Path, network: BodyVAE, device: str) -> Iterator[tuple[TrainingBatch, Posterior]]:
    """Every photo of a folder's training people with c_body of up to four others of the person."""
    import torch
    from torch.utils.data import DataLoader
    from tqdm import tqdm

    from bolid.core.schema import TrainingBatch
    from bolid.data.datamodule import split_records
    from bolid.data.dataset import LeaveOneOutDataset
    from bolid.data.manifest import read_manifest

    size = tuple(network.config.size)
    records = split_records(read_manifest(folder), folder)["train"]
    people = LeaveOneOutDataset(records, folder, size, size, "person", training=False)
    network.eval().to(device)
    for batch in tqdm(DataLoader(people, BATCH, collate_fn=TrainingBatch.cat), "reading", unit="batch"):
        shown = batch.to(device)
        with torch.no_grad():
            yield (
                batch,
                network.encode(shown.references.pictures, shown.references.keypoints, shown.references.mask),
            )
