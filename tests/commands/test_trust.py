"""What a configuration may name, and where it may be read from."""

import json
import socket
from pathlib import Path

import pytest

ADAPTER = Path(__file__).parents[2] / "configs/adapter.yaml"
EVIL = "tests.evil.Maker"


def spec(path, **settings):
    return json.dumps({"class_path": path, "init_args": settings})


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--callbacks.x", EVIL], "callbacks: Import path tests.evil.Maker does not correspond to a subclass of"),
        (["--trainer.callbacks", f"[{spec(EVIL)}]"], "does not correspond to a subclass of Callback"),
        (["--trainer.logger", EVIL], "does not correspond to a subclass of Logger"),
        (["--trainer.plugins", EVIL], "does not correspond to a subclass of"),
        (["--model.backbone", EVIL], "does not correspond to a subclass of Backbone"),
        (["--model.optimizer", EVIL], "to be a subclass of"),
        (["--model.optimizer", spec("torch.optim.AdamW", lr={"class_path": EVIL})], "expected float"),
        (["--callbacks.x", spec("lightning.pytorch.callbacks.LambdaCallback", on_fit_start={"class_path": EVIL})],
         "a configuration may not name lightning.pytorch.callbacks.LambdaCallback"),
        (["--callbacks.x", spec("ultralytics.YOLO", model="evil.pt")], "a configuration may not name ultralytics.YOLO"),
        (["--callbacks.x", "os.system"], "a configuration may not name os.system"),
        (["--trainer.logger", json.dumps({"class_path": "TensorBoardLogger", "init_args": {"save_dir": "x"},
          "dict_kwargs": {"y": {"class_path": EVIL}}})], "no model at 'nowhere'"),
    ],
)  # fmt: skip
def test_nothing_is_made_but_what_a_setting_is_declared_to_be(run, tmp_path, words, why):
    status, _, err = run("fit", "--config", ADAPTER, *words, "--model.backbone.path", "nowhere")
    assert status == 1
    assert why in err.splitlines()[-1]
    assert not (tmp_path / "made").exists()


def test_a_configuration_is_read_from_a_local_file_alone(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        for address in (f"http://127.0.0.1:{server.getsockname()[1]}/x.yaml", "memory://x.yaml"):
            status, _, err = run("fit", "--config", address)
            assert (status, f"config: File does not exist: '{address}'" in err) == (1, True)
        with pytest.raises(TimeoutError):
            server.accept()
