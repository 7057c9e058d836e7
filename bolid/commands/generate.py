"""`bolid generate`: pictures of a person from a prompt."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bolid.commands.identity import HOME
from bolid.core.errors import BolidError

if TYPE_CHECKING:
    from bolid.conditions import Condition
    from bolid.core.identity import Identity

log = logging.getLogger(__name__)


def generate(
    prompt: str,
    identity: str | None = None,
    prior: str | None = None,
    temperature: float = 1.0,
    adapter: Path = Path("runs/adapter/demo/adapter"),
    out: Path = Path("pictures"),
    count: int = 4,
    seed: int = 0,
    steps: int = 25,
    guidance: float = 3.0,
    negative_prompt: str | None = None,
    face_scale: float = 1.0,
    body_scale: float = 1.0,
    pose_scale: float = 1.0,
    size: tuple[int, int] | None = None,
    identities: Path = HOME,
    device: str = "cpu",
    pose: Path | None = None,
    pose_network: Path = Path("data/tiny/pose"),
    negative_body: bool = False,
) -> str:
    """Draws pictures of a person whom `bolid identity create` stored, or of nobody in particular.

    Args:
        prompt: What to draw.
        identity: Name of the person; null for nobody in particular.
        prior: In place of an identity: folder of the text prior, which imagines a body for every picture.
        temperature: How much these bodies vary: 1 as people do, 0 not at all.
        adapter: Folder that `bolid fit` wrote.
        out: Folder for the pictures, each named by its seed.
        count: How many pictures.
        seed: Of the first picture; the others follow.
        steps: Denoising steps.
        guidance: 1 is off.
        negative_prompt: What to steer away from.
        face_scale: λ of the face condition.
        body_scale: λ of the body condition.
        pose_scale: λ of the pose condition.
        size: Height and width in pixels; null for the backbone's own.
        identities: Where identities are kept.
        device: cpu, cuda, cuda:1, …
        pose: A photo of a person in the wanted pose, for adapters with a pose condition; null leaves it to the prompt.
            How long their limbs are is taken over too.
        pose_network: Folder of the network that finds the pose there.
        negative_body: Whether guidance steers away from the opposite body, which increases the body's effective
            guidance; otherwise from no body.

    Returns:
        A line that says where the pictures are.

    Raises:
        BolidError: If the adapter or the identity is missing, or they do not belong together.
    """
    from tqdm import trange

    from bolid.core.identity_file import IdentityFolder
    from bolid.core.safe_io import atomic_path
    from bolid.pipelines import BoLIDPipeline
    from bolid.pipelines.identify import pose_in
    from bolid.vision.pose import PoseEstimator

    if count < 1:
        raise BolidError(f"nothing to draw: count={count} must be 1 or more")
    if prior is None and temperature != 1.0:
        raise BolidError("a temperature is that of a prior's bodies: give --prior, too")
    if identity is not None and prior is not None:
        raise BolidError("give either an identity or a prior: the body is somebody's, or imagined")
    person = None if identity is None else IdentityFolder(identities).load(identity)
    pipe = BoLIDPipeline.from_pretrained(adapter).to(device)
    if person is not None:
        check_known(person, pipe.conditions, str(identity))
    imagined = None if prior is None else pipe.imagine(prompt, prior, range(seed, seed + count), temperature)
    wanted = None
    if pose is not None:
        pipe.check_pose()
        wanted = pose_in(pose, size or pipe.backbone.picture_size, PoseEstimator(pose_network))
    scales = {"face": face_scale, "body": body_scale, "pose": pose_scale}
    height, width = size or (None, None)
    for number in trange(seed, seed + count, unit="picture"):
        who = person if imagined is None else imagined[number - seed]
        picture: Any = pipe(
            prompt, who, negative_prompt, height, width, steps, guidance, seed=number,
            scale={name: scales.get(name, 1.0) for name in pipe.conditions}, pose=wanted, negative_body=negative_body,
        ).images[0]  # fmt: skip
        with atomic_path(out / f"{number}.png") as part:
            picture.save(part)
    return f"{count} pictures of {identity or 'nobody in particular'} in {out}"


def check_known(person: Identity, conditions: Mapping[str, Condition], name: str) -> None:
    """Warns of what an adapter wants to know of a person and the identity does not hold.

    Raises:
        BolidError: If it holds nothing of it.
    """
    wanted = [part for part, condition in conditions.items() if condition.personal]
    missing = [part for part in wanted if part not in person]
    if wanted and len(missing) == len(wanted):
        raise BolidError(
            f"{name} holds nothing that this adapter draws by ({', '.join(missing)}): create the identity anew; "
            "an image condition needs `--clip`"
        )
    for part in missing:
        log.warning("%s holds no %s: that condition of the adapter is off", name, part)
