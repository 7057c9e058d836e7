"""The verbs as a user meets them: help, errors of one line, every shipped configuration."""

import errno
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from bolid.cli import FUNCTIONS, TRAINING
from bolid.core.schema import Phrase
from bolid.data.manifest import read_manifest, write_manifest
from bolid.synthetic.wording import ATTRIBUTES
from tests.data.fabricate import fabricate, fabricate_bodies

ROOT = Path(__file__).parents[1]
ADAPTER = ROOT / "configs" / "adapter.yaml"


@pytest.fixture
def photos(tmp_path):
    """Three drawn people with faces, one in each split, and one more to train on."""
    fabricate(tmp_path / "photos", {"train": 2, "val": 1, "test": 2}, silhouettes=True)
    return tmp_path / "photos"


def small(photos, *, logger=True, drawing=True):
    """Overrides that make a run of a shipped configuration short."""
    words = [
        "--config",
        ROOT / "configs/data/folder.yaml",
        "--data.init_args.folder",
        photos,
        "--data.init_args.batch_size",
        2,
    ]
    words += [
        "--trainer.accelerator",
        "cpu",
        "--trainer.precision",
        "32-true",
        "--trainer.enable_progress_bar",
        "false",
    ]
    words += ["--trainer.logger.init_args.version", "x"] if logger else []
    return words + (["--model.init_args.evaluation.sampling.steps", 1] if drawing else [])


def test_help_lists_every_verb_quickly():
    start = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-m", "bolid.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert time.perf_counter() - start < 2
    assert all(verb in out for verb in [*TRAINING, *FUNCTIONS])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["paint"], "unknown command 'paint'"),
        (["fit", "--config", ADAPTER, "--trainer.max_stepz", "3"], "max_steps"),
        (["fit", "--config", ADAPTER, "--trainer.max_step", "3"], "max_steps"),
        (["fit", "--config", "no/such.yaml"], "no/such.yaml"),
        (["fit", "--config", ADAPTER, "--model.class_path", "bolid.tasks.Paint"], "Paint"),
        (["fit", "--config", ADAPTER, "--model.init_args.backbone.init_args.path", "nowhere"], "nowhere"),
        (["fit", "--config", ADAPTER, "--model.init_args.diffusion.text_dropout", "much"], "diffusion.text_dropout"),
        (["fit", "--config", ADAPTER, "--model.evaluation.methods.boht.scale", "2"],
         "there is no 'boht' to change or remove (there are: text, face, body, both, other)"),
        (["fit", "--config", ADAPTER, "--model.evaluation.methods.mine",
          '{"class_path": "bolid.methods.Adapter", "init_args": {"conditions": ["bdoy"]}}'],
         "bolid: evaluation.methods.mine: no condition is called bdoy; there are face, body"),
        (["fit", "--config", ADAPTER, "--data.init_args.batch_sise", "3"],
         "bolid: data.init_args: no such setting 'batch_sise'; did you mean 'batch_size'?"),
        (["fit", "--config", ADAPTER, "--trainer.callbacks",
          '[{"class_path": "ModelCheckpoint", "init_args": {"save_lst": true}}]'],
         "trainer.callbacks.init_args: no such setting 'save_lst'; did you mean 'save_last'?"),
        (["fit", "--config", ADAPTER, "--callbacks.checkpoint.save_lst", "true"],
         "callbacks.checkpoint.init_args: no such setting 'save_lst'; did you mean 'save_last'?"),
        (["fit", "--config", ADAPTER, "--callbacks.emma", "null"],
         "callbacks: there is no 'emma' to change or remove (there are: checkpoint, lr, ema, "),
        (["fit", "--config", ADAPTER, "--model.dict_kwargs.depth", "3"], "AdapterTask takes no setting"),
        (["fit", "--config", ADAPTER, "--data.dict_kwargs.depth", "3"], "RenderedPeople takes no setting 'depth'"),
        (["fit", "--config", ADAPTER, "--model.optimizer.dict_kwargs.depth", "3"], "AdamW takes no setting 'depth'"),
        (["fit", "--config", ADAPTER, "--callbacks.more", '{"class_path": "Timer", "class_path": "EMA"}'],
         "'class_path' occurs twice in one mapping"),
        (["fit", "--conf", ADAPTER], "no such setting 'conf'; did you mean 'config'?"),
        (["fit"], "required: fit.data, fit.model; give them or a `--config FILE`"),
        (["test", "--config", ADAPTER, "--ckpt_path", "no/such.ckpt"], "no/such.ckpt"),
        (["test", "--config", ADAPTER, "--ckpt_path", "last"], "ckpt_path: last is for fits; give the file"),
        (["predict", "--config", ADAPTER, "--ckpt_path", "best"], "ckpt_path: best is for fits; give the file"),
        (["fit", "--config", ADAPTER, "--model.diffusion.shift", "0"], "diffusion.shift=0.0 must be above 0"),
        (["fit", "--config", ADAPTER, "--model.diffusion.min_snr_gamma", "-5"], "min_snr_gamma=-5.0 must be above 0"),
        (["fit", "--config", ADAPTER, "--model.diffusion.text_dropout", "0.97"], "dropouts are exclusive shares"),
        (["fit", "--config", ADAPTER, "--callbacks.ema.decay", "1.5"], "EMA: decay=1.5 must be"),
        (["fit", "--config", ADAPTER, "--model.evaluation.sampling.steps", "2000"], "steps=2000 must be 1 to 1000"),
        (["test", "--config", ADAPTER], "Give `--ckpt_path runs/.../checkpoints/last.ckpt`"),
        (["predict", "--config", ADAPTER, "--trainer.fast_dev_run", "true"], "predict: which weights?"),
        (["test", "--config", ADAPTER, "--data.rendered.test.people", "0", "--model.init_from", "."],
         "bolid: data.rendered.test.people is 0, so there are no people to test on"),
        (["test", "--config", ADAPTER, "--data.rendered.test.people", "1", "--model.init_from", "."],
         "bolid: data.rendered.test.people is 1, and 2 are needed to shuffle identities"),
        (["fit", "--config", ADAPTER, "--data.references.min", "9"], "references.min=9 must lie between 0 and"),
        (["fit", "--config", ADAPTER, "--data.train.flip", "2"], "flip is 2.0; a probability lies between 0 and 1"),
        (["fit", "--config", ADAPTER, "--data.rendered.train.peple", "3"], "did you mean"),
        (["fit", "--config", ADAPTER, "--trainer.check_val_every_n_epoch", "0.5"], "check_val_every_n_epoch"),
        (["fit", "--config", ADAPTER, "--trainer.val_check_interval", "0.5"], "val_check_interval"),
        (["data", "label", "missing-folder"], "missing-folder"),
        (["data", "render", "--peple", "3"], "no such setting 'peple'; did you mean 'people'?"),
        (["data", "render", "x", "--size", "wide"], "size: Expected a tuple with 2 elements. Got value: ['wide']"),
        (["identity", "create", "--name", "ann"], "either `--photos FILE …`, or `--folder FOLDER --person NAME`"),
        (["identity", "create", "--name", "ann", "--photos", "a.png", "b.png"], "a.png: no such photo. b.png: no such"),
        (["identity", "create", "--name", "../ann", "--photos", "a.png"], "'../ann' is no name"),
        (["identity", "show", "--name", "ann"], "data/identities knows no ann; it knows none"),
        (["generate", "a photo", "--adapter", "nowhere"], "nowhere is missing or holds no adapter.json"),
        (["data", "render", "x", "--split", "tst"], "split: expected one of 'train', 'val', 'test', got tst"),
        (["data", "render", "x", "--people", "0"], "people=0"),
        (["data", "render", "x", "--first", "899999", "--people", "2"], "reserved"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_clear_line(run, words, told):
    status, _, err = run(*words)
    lines = [line for line in err.splitlines() if line and not line.startswith(("Seed set to", "Loading "))]
    assert status != 0
    assert len(lines) == 1, err  # and no warning above it
    assert lines[0].startswith("bolid: ")
    assert told in lines[0]


def test_a_mistake_in_a_configuration_file_is_named(run, tmp_path):
    (tmp_path / "bad.yaml").write_text("model:\n  init_args:\n    init_form: x.ckpt\n")
    status, _, err = run("fit", "--config", ADAPTER, "--config", tmp_path / "bad.yaml")
    assert status != 0
    assert "model.init_args: no such setting 'init_form'; did you mean 'init_from'?" in err.splitlines()[-1]


def test_configuration_is_printed_whole(run, capsys):
    with pytest.raises(SystemExit) as stop:
        run("fit", "--config", ADAPTER, "--print_config")
    assert stop.value.code == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["init_args"]["diffusion"]["text_dropout"] == 0.05
    assert printed["data"]["class_path"].endswith("RenderedPeople")


def test_fit_then_test_leave_checkpoint_adapter_report_and_sheet(run, photos, tmp_path):
    words = ["--config", ADAPTER, *small(photos)]
    fit = ["--trainer.max_steps", 2, "--trainer.val_check_interval", 1]
    assert run("fit", *words, *fit)[0] == 0
    folder = tmp_path / "runs/adapter/x"
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert saved
    assert all("_ip." in name or "encoder_hid_proj" in name for name in saved)
    left = {"adapter.json", "face.safetensors", "body.safetensors", "body_encoder"}
    assert {f.name for f in (folder / "adapter").iterdir()} == left
    assert yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["max_steps"] == 2
    assert list((folder / "samples").glob("*.png"))
    assert run("test", *words, "--ckpt_path", folder / "checkpoints/last.ckpt")[0] == 0
    assert yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["max_steps"] == 2  # the test has its own
    assert (folder / "test.yaml").is_file()
    report = json.loads((folder / "report.json").read_text())
    for column in ("text", "face", "body", "both", "other"):
        assert 0 <= report[f"body_found/{column}"] <= 1
    assert report["pictures"] == 6
    assert report["seed"] == 0
    assert all(isinstance(v, int | float) for v in report.values())
    assert (folder / "sheet.png").stat().st_size > 1000
    assert "|" in (folder / "report.md").read_text()


OVERLAYS = ["backbone/sd15", "backbone/sdxl", "trainer/cuda", "experiment/slides", "experiment/image_prompt"]
OVERLAYS += ["experiment/pose", *(f"losses/{path.stem}" for path in sorted((ROOT / "configs/losses").glob("*.yaml")))]


def make_known(photos):
    """Says of each photo what renderers and annotators may: a whole figure, its attributes, and its pair."""
    known = {"whole_figure": True, "attributes": {"pose": ATTRIBUTES["pose"][0]}}
    records = [
        replace(r, group=r.file_name[-5] if "train" in r.file_name else "", **known) for r in read_manifest(photos)
    ]
    write_manifest(photos, records)


@pytest.mark.parametrize("loss", ["shape", "prompt", "paired_shape"])
def test_a_loss_that_own_photos_say_nothing_for_is_refused_before_the_first_step(run, photos, loss):
    words = ["--config", ADAPTER, "--config", ROOT / f"configs/losses/{loss}.yaml", *small(photos)]
    status, _, err = run("fit", *words, "--trainer.max_steps", 1)
    name = loss.removeprefix("paired_")
    assert status == 1
    assert f"bolid: losses.{name} can use 0 % of the training samples: it needs " in err.splitlines()[-1]


@pytest.mark.parametrize("overlay", [f"{name}.yaml" for name in OVERLAYS])
def test_every_overlay_runs_with_a_miniature_in_place_of_the_weights(run, photos, tmp_path, overlay):
    from tests import miniature

    words = ["--config", ADAPTER, "--config", ROOT / "configs" / overlay, *small(photos)]
    make_known(photos)
    if "backbone" in overlay:
        save = miniature.save_sdxl if "sdxl" in overlay else miniature.save_sd
        words += [
            "--model.init_args.backbone.init_args.path",
            save(tmp_path / "real"),
            "--data.init_args.size",
            "[96,64]",
        ]
    assert run("fit", *words, "--trainer.fast_dev_run", "true")[0] == 0


@pytest.mark.slow
def test_an_exported_adapter_is_tested_from_wherever_it_lies(run, photos, tmp_path, monkeypatch):
    words = ["--config", ADAPTER, *small(photos)]
    assert run("fit", *words, "--trainer.max_steps", 1, "--trainer.limit_val_batches", 0)[0] == 0
    folder = tmp_path / "runs/adapter/x"
    assert run("test", *words, "--ckpt_path", folder / "checkpoints/last.ckpt")[0] == 0
    expected = json.loads((folder / "report.json").read_text())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("test", *words, "--model.init_from", folder / "adapter")[0] == 0
    found = json.loads(Path("runs/adapter/x/report.json").read_text())
    assert found == pytest.approx(expected, rel=1e-4)
    status, _, err = run("test", *words, "--model.init_from", tmp_path / "nowhere")
    assert status == 1
    assert "nowhere" in err.splitlines()[-1]


@pytest.mark.slow
def test_body_vae_configuration_fits_and_its_encoder_serves_the_adapter(run, photos, tmp_path):
    words = [
        "--config",
        ROOT / "configs/body_vae.yaml",
        *small(photos, drawing=False),
        "--data.init_args.train.target",
        "person",
    ]
    words += [
        "--model.init_args.model.init_args.text_dim",
        16,
        "--trainer.max_steps",
        2,
        "--trainer.val_check_interval",
        1,
    ]
    status, _, err = run("fit", *words)
    assert (status, "or set model.loss.consistency: 0" in err) == (1, True)
    words += ["--model.init_args.loss.consistency", 0]
    assert run("fit", *words)[0] == 0
    left = tmp_path / "runs/body_vae/x"
    test = ["test", *words, "--ckpt_path", left / "checkpoints/last.ckpt"]
    assert run(*test)[0] == 0
    report = json.loads((left / "report.json").read_text())
    assert report["pictures"] == 6
    assert {"kl_nats", "varying_dims"} <= report.keys()
    page = (left / "report.md").read_text()
    assert "`shape_r2` left out: true proportions are known of 0 training people and 0 test people" in page
    assert "`pose_leak` left out: no arm or leg moves" in page  # everyone stands alike
    assert run("test", *words, "--model.init_args.init_from", left / "body_vae")[0] == 0
    assert json.loads((left / "report.json").read_text()) == pytest.approx(report)
    status, _, err = run("validate", *words, "--model.init_args.init_from", left / "body_vae")
    assert (status, "holds an encoder without the decoder that validation needs" in err) == (1, True)
    assert run(*test, "--data.test.probe", "false")[0] == 0
    assert "`pose_leak` left out: it is fitted on people of the training" in (left / "report.md").read_text()
    status, _, err = run(*test, "--model.init_args.probe", "null")
    assert (status, "set model.probe.pose, or data.test.target: person" in err) == (1, True), err
    encoder = left / "body_vae"
    words = ["--config", ADAPTER, *small(photos), "--trainer.fast_dev_run", "true"]
    words += ["--model.init_args.conditions.face", "null"]
    words += [w for name in ("face", "both") for w in (f"--model.init_args.evaluation.methods.{name}", "null")]
    words += ["--model.init_args.conditions.body.init_args.encoder", encoder]
    status, _, err = run("fit", *words)
    assert status == 0, err


def test_the_oracle_is_fitted_and_measured_between_text_and_reconstruction(run, tmp_path):
    shown = [Phrase("view", "facing the camera"), Phrase("framing", "full length")]
    folder = tmp_path / "data/pairs"
    records = fabricate(folder, {"train": 2, "test": 3}, faces=False, silhouettes=True, more=shown)
    people = sorted({r.identity for r in records})
    deviations = dict(zip(people, fabricate_bodies(folder, people).numpy(), strict=True))
    write_manifest(folder, [replace(r, proportions=deviations[r.identity], whole_figure=True) for r in records])
    words = ["--config", ROOT / "configs/tiny/oracle.yaml", *small(folder)]
    assert run("fit", *words, "--trainer.max_steps", 2)[0] == 0
    left = tmp_path / "runs/tiny/x"
    assert run("test", *words, "--ckpt_path", left / "checkpoints/last.ckpt")[0] == 0
    report = json.loads((left / "report.json").read_text())
    assert report["pictures"] == 9
    error = {name: report[f"body_shape_error/{name}"] for name in ("text", "oracle", "other", "reconstruction")}
    assert len(set(error.values())) == 1  # an untrained pose network finds nobody: all are average
    assert report["body_shape_error/oracle-text"] == report["body_shape_error/oracle-other"] == 0
    assert not any(name.startswith("body_gap_closed") for name in report)
    assert not (left / "adapter").exists()  # nobody generates with an oracle


def test_gradient_accumulation_and_another_logger(run, photos, tmp_path):
    words = ["--config", ADAPTER, *small(photos, logger=False), "--trainer.max_steps", 2]
    words += [
        "--trainer.accumulate_grad_batches",
        2,
        "--trainer.logger",
        "CSVLogger",
        "--trainer.logger.save_dir",
        "csv",
    ]
    words += ["--trainer.log_every_n_steps", 1, "--data.init_args.train.samples_per_epoch", 20]
    more = {"class_path": "ModelCheckpoint", "init_args": {"dirpath": str(tmp_path / "more"), "save_last": True}}
    words += ["--trainer.callbacks", json.dumps([more])]  # beside the named ones
    assert run("fit", *words)[0] == 0
    assert (tmp_path / "more/last.ckpt").is_file()
    assert next((tmp_path / "csv").rglob("metrics.csv")).read_text().count("\n") >= 2
    loops = torch.load(next((tmp_path / "csv").rglob("last.ckpt")), weights_only=True)["loops"]["fit_loop"]
    assert loops["epoch_loop.batch_progress"]["total"]["completed"] == 4  # two batches a step


def test_a_run_without_a_logger_leaves_out_what_needs_one_and_says_so(run, photos, tmp_path, caplog):
    words = ["--config", ADAPTER, *small(photos, logger=False), "--trainer.logger", "false", "--trainer.max_steps", 1]
    with caplog.at_level("INFO"):
        assert run("fit", *words, "--trainer.limit_val_batches", 0)[0] == 0
    assert "LearningRate: left out, since there is no logger (trainer.logger)" in caplog.messages
    assert (tmp_path / "adapter/adapter.json").is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_a_fit_that_is_ended_loses_nothing(run, photos, tmp_path, number):
    words = ["fit", "--config", ADAPTER, *small(photos), "--trainer.max_steps", 3, "--trainer.val_check_interval", 2]
    killer = ["--callbacks.kill", "tests.killer.KillAt", "--callbacks.kill.step", 1, "--callbacks.kill.number"]
    last = tmp_path / "runs/adapter/x/checkpoints/last.ckpt"
    assert run(*words, *killer, int(number))[0] == 128 + number
    assert torch.load(last, weights_only=True)["global_step"] == 2  # the step in hand was finished
    assert run(*words, "--ckpt_path", last)[0] == 0
    whole = last.rename(tmp_path / "parts.ckpt")
    assert run(*words)[0] == 0
    parts, whole = (torch.load(path, weights_only=True) for path in (whole, last))
    for part in ("state_dict", "ema", "optimizer_states", "lr_schedulers"):
        torch.testing.assert_close(parts[part], whole[part], rtol=0, atol=0)


def test_what_the_system_refuses_is_one_line(run, photos, tmp_path):
    (tmp_path / "file").write_text("x")
    words = ["--config", ADAPTER, *small(photos), "--trainer.max_steps", 1, "--trainer.logger.save_dir", "file"]
    status, _, err = run("fit", *words)
    assert status == 1
    assert err.splitlines()[-1].startswith("bolid: ")
    assert "file/adapter" in err.splitlines()[-1]
    assert "a file is where a folder is wanted" in err.splitlines()[-1]
    status, _, err = run("data", "render", "file/people", "--people", "1")
    assert (status, err.splitlines()[-1].startswith("bolid: file")) == (1, True)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), "runs/x cannot be written or read: No space left"),
        (OSError(errno.EROFS, "Read-only file system", "a", None, "b"), "a to b cannot be written or read: Read-only"),
        (ValueError("I/O error: No space left on device (os error 28)"), "a file cannot be written or read: No space"),
        (RuntimeError("[../third_party/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4"),
         "another process of this run has ended, and this one with it; its own message says why"),
    ],
)  # fmt: skip
def test_a_disk_and_a_dead_process_are_sentences(run, monkeypatch, error, line):
    def fails(*_):
        raise error

    monkeypatch.setattr("bolid.cli.call", fails)
    status, _, err = run("identity", "list")
    assert (status, err.startswith(f"bolid: {line}")) == (1, True)


def test_a_bug_keeps_its_traceback(run, monkeypatch):
    def fails(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")

    monkeypatch.setattr("bolid.cli.call", fails)
    with pytest.raises(FileNotFoundError):
        run("identity", "list")


def test_ctrl_c_is_no_traceback(run, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bolid.cli.call", pressed)
    status, _, err = run("identity", "list")
    assert (status, err) == (130, "")


def test_your_own_photos_keep_the_size_of_the_backbone_in_either_order(run, capsys):
    overlays = [ROOT / "configs/data/folder.yaml", ROOT / "configs/backbone/sdxl.yaml"]
    for first, second in (overlays, overlays[::-1]):
        with pytest.raises(SystemExit):
            run("fit", "--config", ADAPTER, "--config", first, "--config", second, "--print_config")
        data = yaml.safe_load(capsys.readouterr().out)["data"]
        assert data["class_path"].endswith("IdentityDataModule")
        assert (data["init_args"]["size"], data["init_args"]["batch_size"]) == ([1216, 832], 1)
        assert data["init_args"]["train"]["caption_dropout"]["body"] == 0.8


@pytest.mark.slow
def test_predict_validate_and_test_start_from_the_weights_they_are_given(run, photos, tmp_path):
    words = ["--config", ADAPTER, *small(photos)]
    assert run("fit", *words, "--trainer.max_steps", 1, "--trainer.limit_val_batches", 0)[0] == 0
    checkpoint = tmp_path / "runs/adapter/x/checkpoints/last.ckpt"
    assert run("validate", *words, "--ckpt_path", checkpoint)[0] == 0
    assert run("predict", *words, "--model.init_from", checkpoint)[0] == 0
    drawn = list((tmp_path / "runs/adapter/x/predictions").rglob("*.png"))
    assert len(drawn) == 5 * 6  # methods times test photos


def test_a_test_on_photos_of_nobody_is_refused_before_anything_is_loaded(run, tmp_path):
    fabricate(tmp_path / "photos", {"train": 2, "val": 1})
    words = [
        "--config",
        ADAPTER,
        *small(tmp_path / "photos"),
        "--model.backbone.path",
        "nowhere",
        "--model.init_from",
        tmp_path / "photos",
    ]
    status, _, err = run("test", *words)
    assert status == 1
    assert f"{tmp_path}/photos: no one in test has 2 or more usable photos; the folders" in err.splitlines()[-1]
    fabricate(tmp_path / "photos", {"train": 2, "val": 1, "test": 1})
    status, _, err = run("test", *words)
    assert (status, "only 1 of test has 2 or more usable photos, and 2 people" in err.splitlines()[-1]) == (1, True)
    assert "nowhere" in run("test", *words, "--model.evaluation.methods.other", "null")[2].splitlines()[-1]
