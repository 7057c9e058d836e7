"""Embeddings of identities and of a pose, as the conditions receive them in the UNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.core.identity import Identity, check_values
from bolid.core.keypoints import KEYPOINTS
from bolid.core.schema import with_tensors
from bolid.pipelines.identify import pose_alone


def embed_people(
    conditions: Mapping[str, Condition],
    identities: Sequence[Identity | None],
    pose: Tensor | None,
    device: torch.device | str,
) -> dict[str, Tensor]:
    """The embeddings (B, E) of each condition for B identities in one pose (17, 3), zero where unknown.

    Args:
        conditions: Conditions by name.
        identities: B identities; None for no identity.
        pose: Input of the conditions that are not personal.
        device: Device of those conditions.

    Raises:
        BolidError: If an embedding comes from another network than the condition was trained with, has another size or
            is not finite, or no condition takes a pose.
    """
    if pose is not None:
        check_pose(conditions, pose)
    asked = with_tensors(pose_alone(pose, len(identities)), lambda tensor: tensor.to(device))
    return {
        name: torch.stack([embedding_of(name, condition, person) for person in identities])
        if condition.personal
        else condition.embed(asked)
        for name, condition in conditions.items()
    }


def check_pose(conditions: Mapping[str, Condition], pose: Tensor | None = None) -> None:
    """Refuses a pose if no condition takes one, its shape is not (17, 3), or it is not finite.

    Raises:
        BolidError: If the pose is refused.
    """
    if all(condition.personal for condition in conditions.values()):
        raise BolidError("this adapter takes no pose: train one with configs/experiment/pose.yaml")
    if pose is not None and pose.shape != (KEYPOINTS, 3):
        raise BolidError(f"a pose is 17 keypoints of x, y and confidence, not {' x '.join(map(str, pose.shape))}")
    if pose is not None and not pose.isfinite().all():
        raise BolidError("the pose holds numbers that are not finite; unknown keypoints are zero")


def embedding_of(name: str, condition: Condition, person: Identity | None) -> Tensor:
    """The embedding of an identity for a condition, (E,) on the CPU, zero if absent; errors as in `embed_people`."""
    if person is None or name not in person:
        return torch.zeros(condition.embed_dim)
    values, model = person[name]
    # Embeddings of another network of the same size would pass unnoticed.
    if condition.fingerprint and not model:
        raise BolidError(
            f"the identity does not say which network embedded its {name}, and this adapter takes embeddings of "
            f"{condition.fingerprint[:8]}… alone: create the identity anew"
        )
    condition.check_fingerprint(model, f"what embedded the identity's {name}")
    if values.shape != (condition.embed_dim,):
        shape = " x ".join(map(str, values.shape))
        raise BolidError(f"the identity's {name} has {shape} numbers, the condition takes {condition.embed_dim}")
    check_values(values, f"the identity's {name}")
    return values.float().cpu()
