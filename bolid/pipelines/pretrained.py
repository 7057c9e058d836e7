"""Loading, saving and sharing a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import torch

from bolid.conditions import Condition
from bolid.core.names import named
from bolid.core.trained_on import TrainedOn
from bolid.models.backbones import Backbone, Dtype
from bolid.models.backbones.base import dtype_name
from bolid.pipelines.adapter import build, check_card, load_weights, save
from bolid.pipelines.card import read_card
from bolid.pipelines.hub import find_adapter, push
from bolid.pipelines.stock import StockPipeline


class PretrainedPipeline(StockPipeline):
    """A pipeline whose conditions come from an adapter's folder or from the hub.

    See `bolid.pipelines.BoLIDPipeline` for the arguments.
    """

    def __init__(self, backbone: Backbone, conditions: Mapping[str, Condition]):
        self.backbone, self.conditions = backbone, named(conditions, "conditions")
        self.identities: TrainedOn | None = None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        backbone: str | None = None,
        encoder: str | None = None,
        dtype: Dtype | torch.dtype = "float32",
        conditions: Sequence[type[Condition]] = (),
        variant: str | None = None,
        torch_dtype: Dtype | torch.dtype | None = None,
        **hub: Any,
    ) -> Self:
        """Loads an adapter that `bolid fit` or `save_pretrained` wrote, and its base model.

        Args:
            pretrained_model_name_or_path: Folder or hub id of `adapter.json`, one `.safetensors` per condition and the
                body encoder.
            backbone: Folder or hub id of a base model that replaces the one of the training (same family and sizes).
            encoder: Folder of the body encoder that replaces the card's; its weights must be the same.
            dtype: Precision of the base model and the conditions.
            conditions: Condition classes that cards may name besides those that are imported or installed.
            variant: Variant of the base model's weights, such as fp16; by default the plain ones, or the only one there
                is.
            torch_dtype: Older name of `dtype`.
            hub: Arguments for an adapter on the hub: revision, token, cache_dir, local_files_only, force_download.

        Raises:
            BolidError: If a file is missing or does not fit, or the body encoder is not that of the training.
        """
        folder, card = read_card(find_adapter(pretrained_model_name_or_path, **hub))
        pipe = cls(*build(card, folder, backbone, encoder, dtype_name(torch_dtype or dtype), conditions, variant))
        load_weights(folder, pipe.backbone, pipe.conditions)
        pipe.identities = card.identities
        if pipe.backbone.unet.dtype != torch.float32:  # the conditions' own weights are float32
            pipe.backbone.unet.to(pipe.backbone.unet.dtype)
        pipe.backbone.requires_grad_(False).eval()
        pipe.set_progress_bar_config(disable=False)
        return pipe

    def load_weights(self, folder: str | Path) -> TrainedOn | None:
        """Loads the weights of an exported adapter whose conditions equal the installed ones.

        Returns:
            Hashes of that adapter's training identities, if its card has them.

        Raises:
            BolidError: If names, kinds, sizes or encoders differ, or a file is missing or broken.
        """
        folder, card = read_card(folder)
        check_card(card, self.conditions, str(folder))
        load_weights(folder, self.backbone, self.conditions)
        return card.identities

    def save_pretrained(self, save_directory: str | Path, identities: TrainedOn | None = None) -> None:
        """Writes the complete adapter without its base model, to any folder; see `save`.

        Args:
            save_directory: Folder for the card, the encoders of photos, and IP-Adapter files that stock diffusers
                loads, too.
            identities: Hashes of the training identities; by default those of the pipeline.
        """
        save(Path(save_directory), self.backbone, self.conditions, identities or self.identities)

    def push_to_hub(self, repo_id: str, private: bool = False, **options: Any) -> str:
        """Uploads what `save_pretrained` writes, with a model card; see `bolid.pipelines.hub.push`."""
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(Path(folder), repo_id, private, **options)
