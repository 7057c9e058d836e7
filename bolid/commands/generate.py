"""`bolid generate`: images of a person from a prompt."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bolid.commands.identity import HOME
from bolid.core.errors import BolidError
from bolid.vision.choice import Choice, Kind, choose_for

if TYPE_CHECKING:
    from torch import Tensor

    from bolid.conditions import Condition
    from bolid.core.identity import Identity
    from bolid.pipelines import BoLIDPipeline

log = logging.getLogger(__name__)


def generate(
    prompt: str,
    identity: str | None = None,
    prior: str | None = None,
    temperature: float = 1.0,
    adapter: Path = Path("runs/adapter/demo/adapter"),
    encoder: str | None = None,
    backbone: str | None = None,
    out: Path = Path("pictures"),
    count: int = 4,
    seed: int = 0,
    steps: int = 25,
    guidance: float = 3.0,
    negative_prompt: str | None = None,
    negative_body: bool = False,
    face_scale: float = 1.0,
    body_scale: float = 1.0,
    pose_scale: float = 1.0,
    size: tuple[int, int] | None = None,
    identities: Path = HOME,
    pose: Path | None = None,
    networks: Kind = "auto",
    pose_network: str | None = None,
    device: str = "cpu",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    offload: bool = False,
) -> str:
    """Generates images of an identity that `bolid identity create` stored, or without an identity.

    Args:
        prompt: Text prompt.
        identity: Name of the identity; null for none.
        prior: Instead of an identity: folder of the text prior p(c_body | caption), which samples a body for every
            image.
        temperature: Spread of these samples: 1 for the prior's distribution, 0 for its mean.
        adapter: Folder that `bolid fit` wrote.
        encoder: Folder of a body encoder that replaces the adapter's own.
        backbone: Folder or hub id of a base model that replaces the one that the adapter was trained on.
        out: Folder for the images, named by seed; a further image of the same seed gets a number.
        count: Number of images.
        seed: Seed of the first image; each next one adds 1.
        steps: Number of denoising steps.
        guidance: Guidance scale; 1 is off.
        negative_prompt: Negative text prompt.
        negative_body: Whether to use −c_body instead of zeros as the negative condition, which increases the effective
            body guidance.
        face_scale: λ of the face condition.
        body_scale: λ of the body condition.
        pose_scale: λ of the pose condition.
        size: Height and width in pixels; null for the backbone's own.
        identities: Folder of the stored identities.
        pose: Photo of a person in the wanted pose, for adapters with a pose condition; null leaves the pose to the
            prompt. The keypoints also carry that person's limb lengths.
        networks: Networks that estimate that pose. photographs: MoveNet and BlazePose; embedded: that of data/tiny, for
            rendered people only; auto: by the photo's mark.
        pose_network: Pose network to use instead: movenet, blazepose, or a folder.
        device: cpu, cuda, cuda:1, …
        dtype: Precision; bfloat16 or float16 halve the memory.
        offload: Whether each network is on the device only while it runs, for GPUs with little memory.

    Returns:
        One line with the folder of the images.

    Raises:
        BolidError: If the adapter or the identity is missing, they do not belong together, or something cannot be
            generated.
    """
    from tqdm import trange

    from bolid.core.devices import check_device
    from bolid.core.identity_file import IdentityFolder
    from bolid.core.photos import generated_mark
    from bolid.core.safe_io import new_path
    from bolid.pipelines import BoLIDPipeline
    from bolid.pipelines.request import check_prompts, check_request

    scales = {"face": face_scale, "body": body_scale, "pose": pose_scale}
    negative = None if negative_prompt is None else [negative_prompt]
    check_prompts([prompt])
    check_prompts([negative_prompt], "negative_prompt")
    check_subject(identity, prior, temperature)
    if count < 1:
        raise BolidError(f"nothing to generate: count={count} must be 1 or more")
    check_request(
        size or (None, None), steps, guidance, negative, scales.values(), (seed, seed + count - 1), negative_body
    )
    check_folder(out)
    if offload and check_device(device) == "cpu":
        raise BolidError("offload moves networks to a GPU while they run: give its --device, too, such as cuda")
    person = None if identity is None else IdentityFolder(identities).load(identity)
    check_device(device)

    pipe = BoLIDPipeline.from_pretrained(adapter, backbone, encoder, dtype)
    pipe.set_progress_bar_config(leave=False)
    pipe.enable_model_cpu_offload(device) if offload else pipe.to(device)
    if person is not None:
        check_known(person, pipe.conditions, str(identity))
    for name, scale in scales.items():
        if scale != 1 and name not in pipe.conditions:
            raise BolidError(
                f"{name}_scale has no effect: the adapter has no {name} condition ({', '.join(pipe.conditions)})"
            )
    imagined = None if prior is None else pipe.imagine(prompt, prior, range(seed, seed + count), temperature)
    wanted = None if pose is None else pose_of(pose, size, choose_for([pose], networks, pose=pose_network), pipe)
    height, width = size or (None, None)
    for number in trange(seed, seed + count, unit="image"):
        subject = person if imagined is None else imagined[number - seed]
        made: Any = pipe(
            prompt, subject, negative_prompt, height, width, steps, guidance, seed=number,
            scale={name: scales.get(name, 1.0) for name in pipe.conditions}, pose=wanted, negative_body=negative_body,
        )  # fmt: skip
        with new_path(out / f"{number}.png") as part:
            made.images[0].save(part, pnginfo=generated_mark())
    return f"{count} images of {identity or 'no identity'} in {out}"


def check_subject(identity: str | None, prior: str | None, temperature: float) -> None:
    """Refuses an identity and a prior at once, and a temperature without a prior.

    Raises:
        BolidError: If it does.
    """
    from bolid.pipelines.imagine import check_temperature

    if prior is None and temperature != 1.0:
        raise BolidError("a temperature is that of a prior's bodies: give --prior, too")
    if identity is not None and prior is not None:
        raise BolidError("give either an identity or a prior: the body is a person's, or imagined")
    check_temperature(temperature)


def check_folder(folder: Path) -> None:
    """Refuses an output folder in which no file can be written.

    Raises:
        BolidError: If it is a file, or below one, or may not be written to.
    """
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise BolidError(f"out: {there} is a file; give a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BolidError(f"out: {there} may not be written to; give another folder")


def pose_of(photo: Path, size: tuple[int, int] | None, network: Choice, pipe: BoLIDPipeline) -> Tensor:
    """The pose that a photo shows, see `pose_in`."""
    from bolid.pipelines.embeds import check_pose
    from bolid.pipelines.identify import pose_in
    from bolid.vision.load import pose_estimator

    check_pose(pipe.conditions)
    refused = [name for name in network.refused if name == network.pose]
    return pose_in(photo, size or pipe.backbone.picture_size, pose_estimator(network.pose), refused)


def check_known(person: Identity, conditions: Mapping[str, Condition], name: str) -> None:
    """Warns of the adapter's conditions that the identity holds no embedding for.

    Raises:
        BolidError: If it holds none at all.
    """
    wanted = [part for part, condition in conditions.items() if condition.personal]
    missing = [part for part in wanted if part not in person]
    if wanted and len(missing) == len(wanted):
        raise BolidError(
            f"{name} holds nothing that this adapter generates by ({', '.join(missing)}): create the identity anew, "
            "with `--adapter` and its folder"
        )
    for part in missing:
        log.warning("%s holds no %s: that condition of the adapter is off", name, part)
