"""What a process of a fit saw and held."""

import json
from hashlib import sha256
from pathlib import Path

from lightning.pytorch import Callback


class Witness(Callback):
    """Writes `rank<n>.json` into a folder: per step the file names of the batch, and a hash of the trained weights."""

    def __init__(self, folder: Path):
        self.folder, self.names, self.weights = folder, [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.names.append(batch.file_names)
        self.weights.append(weights_hash(pl_module))

    def on_fit_end(self, trainer, pl_module):
        told = {"names": self.names, "weights": [*self.weights, weights_hash(pl_module)]}
        (self.folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(told))


def weights_hash(module):
    content = sha256()
    for name, value in module.named_parameters():
        if value.requires_grad:
            content.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return content.hexdigest()
