"""Experts and metrics are built from YAML as the command line does it."""

import yaml
from jsonargparse import ArgumentParser

from bolid.experts.pose import PoseEstimator
from bolid.metrics.base import PictureMetric
from bolid.models.body_vae import BodyVAE


def test_metrics_are_built_from_a_configuration(clip_folder, pose_folder, tmp_path):
    BodyVAE(latent_dim=4, text_dim=2, channels=(8, 8), width=8, heads=1).save_pretrained(tmp_path)
    clip = {"class_path": "bolid.experts.clip.ClipModel", "init_args": {"name": str(clip_folder)}}
    pose = {"class_path": "bolid.experts.pose.PoseEstimator", "init_args": {"weights": str(pose_folder)}}
    arguments = {
        "bolid.metrics.clip.ClipScore": {"clip": clip},
        "bolid.metrics.fid.FID": {"network": clip},
        "bolid.metrics.kid.KID": {"network": clip},
        "bolid.metrics.inception_score.InceptionScore": {"network": clip},
        "bolid.metrics.body.BodySimilarity": {"pose": pose, "encoder": str(tmp_path)},
    }
    config = {"metrics": [{"class_path": path, "init_args": given} for path, given in arguments.items()]}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--metrics", type=list[PictureMetric])
    built = parser.instantiate_classes(parser.parse_string(yaml.safe_dump(config))).metrics
    assert [type(metric).__name__ for metric in built] == [path.rpartition(".")[2] for path in arguments]
    assert built[0].clone().clip.network is built[0].clip.network


def test_docstrings_are_the_help():
    parser = ArgumentParser()
    parser.add_class_arguments(PoseEstimator, "pose")
    text = " ".join(parser.format_help().split())
    for name, words in (
        ("weights", "Folder with"),
        ("image_size", "Longer side in pixels"),
        ("min_score", "less sure"),
    ):
        assert words in text.partition(f"--pose.{name}")[2]
