"""`bolid identity prior` and `directions`: fit the text prior and the proportion directions of c_body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
    family: str = "StableDiffusion",
    device: str = "cpu",
) -> str:
    """Fits the text prior p(c_body | caption) on the training people of an annotated folder.

    Fit it anew when the body encoder or the backbone's text encoder changes.

    Args:
        folder: Folder with a manifest, as `bolid data annotate` and `bolid data render` write.
        out: Folder for the prior.
        encoder: Folder of the body encoder.
        backbone: Folder or hub id of the backbone whose text encoder reads the captions.
        family: Kind of the backbone: StableDiffusion, StableDiffusionXL, or one that an installed package adds.
        device: cpu, cuda, cuda:1, …

    Returns:
        One line with the folder and the number of captions.

    Raises:
        BolidError: If something is missing or there are too few photos.
    """
    import torch

    from bolid.core.devices import check_device
    from bolid.models.backbones.base import KINDS
    from bolid.models.body_prior import fit_body_prior
    from bolid.models.body_vae import body_vae_fingerprint, load_body_vae

    check_device(device)
    network = load_body_vae(encoder)
    base = KINDS.find(family)(backbone).to(device)
    codes, features, people = [], [], []
    for batch, posterior in read_folder(folder, network, device):
        codes.append(posterior.mean.cpu())  # identities hold the mean: the noise of a sample is no difference of bodies
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
    names: Sequence[str] = ("waist", "hip", "shoulder", "torso", "leg", "arm", "build"),
    device: str = "cpu",
) -> str:
    """Fits the directions of c_body along which each proportion grows while the others stay constant.

    Args:
        folder: Folder with a manifest that holds people's proportions, as `bolid data render` writes.
        out: File for the directions, which `bolid identity move` reads.
        encoder: Folder of the body encoder.
        names: Names of the proportions, in the manifest's order; by default those of rendered people.
        device: cpu, cuda, cuda:1, …

    Returns:
        One line with the share of c_body's variance that the proportions explain.

    Raises:
        BolidError: If something is missing or there are too few people.
    """
    import torch

    from bolid.core.devices import check_device
    from bolid.models.body_directions import fit_body_directions, save_directions
    from bolid.models.body_vae import body_vae_fingerprint, load_body_vae

    check_device(device)
    codes, proportions, people = [], [], set()
    for batch, posterior in read_folder(folder, load_body_vae(encoder), device):
        codes.append(posterior.mean.cpu())
        proportions.append(batch.references.proportions)
        people |= set(batch.identities)
    known = torch.cat(proportions)
    if not known.numel() or not known.isfinite().all():
        raise BolidError(
            f"{folder}: the manifest lacks the proportions of some people; `bolid data render` writes them"
        )
    directions, explained = fit_body_directions(torch.cat(codes), known, names)
    save_directions(directions, out, body_vae_fingerprint(encoder))
    return f"{out}: {', '.join(names)}, which explain {explained:.0%} of c_body's variance over {len(people)} people"


def read_folder(folder: Path, network: BodyVAE, device: str) -> Iterator[tuple[TrainingBatch, Posterior]]:
    """Yields each training photo of a folder, with the posterior of c_body from up to four others of the person."""
    import torch
    from torch.utils.data import DataLoader
    from tqdm import tqdm

    from bolid.core.schema import TrainingBatch
    from bolid.data.dataset import LeaveOneOutDataset
    from bolid.data.manifest import read_kept
    from bolid.data.specs import ReferenceSpec, SplitSpec
    from bolid.data.splits import split_records

    size = tuple(network.config.size)
    records = split_records(read_kept(folder), folder)["train"]
    people = LeaveOneOutDataset(records, folder, size, ReferenceSpec(size), SplitSpec("person"), training=False)
    network.eval().to(device)
    for batch in tqdm(DataLoader(people, BATCH, collate_fn=TrainingBatch.cat), "reading", unit="batch"):
        shown = batch.to(device)
        with torch.no_grad():
            yield (
                batch,
                network.encode(shown.references.pictures, shown.references.keypoints, shown.references.mask),
            )
