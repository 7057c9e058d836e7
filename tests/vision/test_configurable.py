"""Experts and metrics are built from YAML as the command line does it."""

import yaml
from jsonargparse import ArgumentParser

from bolid.metrics.base import ImageMetric
from bolid.models.body_vae import BodyVAE
from bolid.synthetic.readers.anthropometer import AnthropometerNetwork
from bolid.synthetic.readers.attributes import AttributeNetwork
from bolid.vision.pose import PoseEstimator


def test_metrics_are_built_from_a_configuration(clip_folder, pose_folder, tmp_path):
    BodyVAE(latent_dim=4, text_dim=2, channels=(8, 8), width=8, heads=1).save_pretrained(tmp_path)
    AttributeNetwork((48, 32), (8, 8), 16).save_pretrained(tmp_path / "attributes")
    AnthropometerNetwork((48, 32), (8, 8), 8, 16).save_pretrained(tmp_path / "anthropometer")
    reader = {"class_path": "EmbeddedAttributes", "init_args": {"weights": str(tmp_path / "attributes")}}
    anthropometer = {"class_path": "Anthropometer", "init_args": {"weights": str(tmp_path / "anthropometer")}}
    for judge in (reader, anthropometer):
        judge["class_path"] = f"bolid.synthetic.readers.{judge['class_path']}"
    clip = {"class_path": "bolid.vision.clip.ClipModel", "init_args": {"name": str(clip_folder)}}
    pose = {"class_path": "bolid.vision.pose.PoseEstimator", "init_args": {"weights": str(pose_folder)}}
    arguments = {
        "bolid.metrics.clip.ClipScore": {"clip": clip},
        "bolid.metrics.fid.FID": {"network": clip},
        "bolid.metrics.kid.KID": {"network": clip},
        "bolid.metrics.inception_score.InceptionScore": {"network": clip},
        "bolid.metrics.body.BodySimilarity": {"pose": pose, "encoder": str(tmp_path)},
        "bolid.synthetic.metrics.adherence.PromptAdherence": {"reader": reader},
        "bolid.synthetic.metrics.body_shape.BodyShape": {
            "anthropometer": anthropometer,
            "pose": pose,
        },
        "bolid.synthetic.metrics.graded_words.GradedWords": {"anthropometer": anthropometer},
    }
    config = {"metrics": [{"class_path": path, "init_args": given} for path, given in arguments.items()]}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--metrics", type=list[ImageMetric])
    built = parser.instantiate_classes(parser.parse_string(yaml.safe_dump(config))).metrics
    assert [type(metric).__name__ for metric in built] == [path.rpartition(".")[2] for path in arguments]
    assert built[0].clone().clip.network is built[0].clip.network


def test_docstrings_are_the_help():
    parser = ArgumentParser()
    parser.add_class_arguments(PoseEstimator, "pose")
    text = " ".join(parser.format_help().split())
    for name, words in (
        ("weights", "Folder with"),
        ("image_size", "Longer side of the network's input in pixels"),
        ("min_score", "Minimum score of a person"),
    ):
        assert words in text.partition(f"--pose.{name}")[2]
