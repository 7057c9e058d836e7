"""Stage 1 on miniatures: what the terms teach, what must not leak, what is saved."""

import json
from dataclasses import fields, is_dataclass, replace
from functools import partial
from math import inf

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from bolid.callbacks import WriteReport
from bolid.core.errors import BolidError
from bolid.core.schema import Phrase
from bolid.data.datamodule import IdentityDataModule
from bolid.data.manifest import write_manifest
from bolid.data.specs import ReferenceSpec, SplitSpec
from bolid.losses.body_vae import BodyVAELoss, Decoded, Decoding
from bolid.models.augment import ViewAugment
from bolid.models.backbones import StableDiffusion
from bolid.models.body_vae import BodyVAE
from bolid.tasks.body_vae import BodyVAETask
from tests import miniature
from tests.commands.quiet import quiet_trainer
from tests.data.fabricate import fabricate

TERMS = {"picture", "silhouette", "trunk", "limbs", "kl", "contrast", "consistency"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return miniature.save_sd(tmp_path_factory.mktemp("models") / "sd")


@pytest.fixture
def task(folder):
    torch.manual_seed(0)
    model = BodyVAE(latent_dim=8, size=miniature.SIZE, text_dim=16, channels=(8, 8, 16), width=16, heads=2)
    return BodyVAETask(model, StableDiffusion(str(folder)), BodyVAELoss(beta=2.0, beta_warmup=4))


def fit(task, folder, steps=2, **more):
    loader = DataLoader([miniature.batch(seed=i) for i in range(steps)], batch_size=None)
    trainer = quiet_trainer(folder, max_steps=steps, **more)
    trainer.fit(task, loader)
    return trainer


def terms(task, batch, seed=0):
    return task.terms(batch, task.encode(batch), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_short_fit_moves_encoder_and_decoder_and_not_the_text(task, tmp_path, precision):
    before = {n: v.clone() for n, v in task.state_dict().items()}
    fit(task, tmp_path, precision=precision)
    moved = {n for n, v in task.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == task.trained_keys()
    assert {n.split(".")[0] for n in moved} == {"model"}
    assert all(torch.isfinite(v).all() for v in task.state_dict().values())


def test_the_posterior_is_in_full_precision_whatever_the_networks_is(task):
    with torch.autocast("cpu", torch.bfloat16):
        posterior = task.encode(miniature.batch())
    assert posterior.mean.dtype == posterior.logvar.dtype == torch.float32


def test_the_checkpoint_holds_what_was_trained_and_the_mean(task, tmp_path):
    fit(task, tmp_path).save_checkpoint(tmp_path / "x.ckpt")
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)["state_dict"]
    assert saved.keys() == {n for n, p in task.named_parameters() if p.requires_grad} | {"model.mean_code"}


def test_fitting_one_batch_lowers_the_loss(task):
    batch, optimizer = miniature.batch(), torch.optim.AdamW(task.model.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = task.total(terms(task, batch), inf)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1


@pytest.mark.parametrize(
    ("term", "parts"),
    [
        ("picture", {"encoder", "decoder"}),
        ("silhouette", {"encoder", "decoder"}),
        ("trunk", {"encoder", "decoder"}),
        ("limbs", {"encoder", "decoder"}),
        ("kl", {"encoder"}),
        ("contrast", {"encoder"}),
        ("consistency", {"encoder"}),
    ],
)
def test_each_term_teaches_its_parts_and_no_other(task, term, parts):
    task.loss.consistency = 1.0
    value = terms(task, in_other_outfits(miniature.batch()))[term]
    assert value.shape == ()
    assert torch.isfinite(value)
    value.backward()
    reached = {n for n, p in task.named_parameters() if p.grad is not None and p.grad.any()}
    assert {part(name) for name in reached} == parts


def part(name):
    if name.startswith("model."):
        return "decoder" if name.startswith("model.decoder.") else "encoder"
    return name.split(".")[0]


def test_beta_rises_to_its_value_and_stays(task, tmp_path):
    ones = dict.fromkeys(TERMS - {"kl"}, torch.zeros(())) | {"kl": torch.ones(())}
    seen = []
    task.total = lambda terms, step: seen.append(task.loss.total(ones, step)) or task.loss.total(terms, step)
    fit(task, tmp_path, steps=6)
    assert seen == pytest.approx([0.5, 1, 1.5, 2, 2, 2])


def test_the_loss_is_the_sum_its_docstring_says(task):
    task.loss.consistency = 3.0
    numbers = {
        "picture": 1.0,
        "silhouette": 10.0,
        "kl": 100.0,
        "contrast": 1000.0,
        "consistency": 10_000.0,
        "limbs": 1e5,
        "trunk": 1e6,
    }
    values = {k: torch.tensor(v) for k, v in numbers.items()}
    assert task.total(values, inf) == 1 + 10 + 1e5 + 1e6 + 2 * 100 + 10 * 1000 + 3 * 10_000
    assert task.total(values, 1) == 1 + 10 + 1e5 + 1e6 + 100 + 10 * 1000 + 1.5 * 10_000


def in_other_outfits(batch, shown=None):
    """The batch with another picture of everybody, or of those `shown`, in the place of another outfit."""
    batch.outfit.pictures = batch.references.pictures[:, :1].flip(-2)
    batch.outfit.keypoints = batch.references.keypoints[:, :1]
    batch.outfit.mask = torch.ones(len(batch), 1, dtype=torch.bool) if shown is None else shown[:, None]
    return batch


def test_what_another_outfit_tells_is_compared_where_it_is_shown(task):
    task.loss.consistency = 1.0
    batch = in_other_outfits(miniature.batch())
    everybody = terms(task, batch)["consistency"]
    views = ((batch.pictures, batch.keypoints), (batch.outfit.pictures[:, 0], batch.outfit.keypoints[:, 0]))
    ones = torch.ones(len(batch), 1, dtype=torch.bool)
    one, two = (
        Normal(found.mean, (0.5 * found.logvar).exp())
        for found in (task.model.encode(pictures[:, None], points[:, None], ones) for pictures, points in views)
    )
    each = ((kl_divergence(one, two) + kl_divergence(two, one)) / 2).sum(1)  # (B,)
    assert everybody > 0
    torch.testing.assert_close(everybody, each.mean())
    shown = torch.arange(len(batch)) == 1
    torch.testing.assert_close(terms(task, in_other_outfits(batch, shown))["consistency"], each[1])
    assert terms(task, in_other_outfits(batch, ~(shown | ~shown)))["consistency"] == 0
    assert terms(task, miniature.batch())["consistency"] == 0


@pytest.mark.parametrize(
    ("term", "setting", "without"),
    [
        ("silhouette", "silhouette_dims", lambda batch: batch.silhouette_known.zero_()),
        ("trunk", "trunk_dims", lambda batch: batch.keypoints[:, 11].zero_()),
        ("limbs", "limb_dims", lambda batch: batch.keypoints[:, 5:].zero_()),
        ("consistency", "consistency", lambda batch: None),
    ],
)
def test_a_term_that_no_sample_feeds_is_refused_before_the_fit(task, tmp_path, term, setting, without):
    task.loss = BodyVAELoss(silhouette_dims=0, trunk_dims=0, limb_dims=0)
    setattr(task.loss, setting, 1.0)
    batch = miniature.batch()
    batch.keypoints[..., 2] = batch.keypoints_canonical[..., 2] = 1
    without(batch)
    loader, before = DataLoader([batch], batch_size=None), task.model.moments.weight.clone()
    with pytest.raises(BolidError, match=rf"loss\.{term} can use 0 % of .*, or set model\.loss\.{setting}: 0$"):
        quiet_trainer(tmp_path).fit(task, loader)
    assert torch.equal(task.model.moments.weight, before)
    setattr(task.loss, setting, 0.0)
    quiet_trainer(tmp_path).fit(task, loader)


def test_what_only_some_samples_feed_is_said_once_with_its_share(task, tmp_path, caplog):
    task.loss = BodyVAELoss(trunk_dims=0, limb_dims=0)
    batch = miniature.batch()
    batch.silhouette_known[1:] = False
    quiet_trainer(tmp_path, max_steps=2).fit(task, DataLoader([batch] * 2, batch_size=None))
    assert [r.getMessage() for r in caplog.records if "can use" in r.getMessage()] == [
        "loss.silhouette can use 25 % of the training samples"
    ]


def test_the_held_out_photo_decides_neither_the_code_nor_what_is_decoded(task, monkeypatch):
    decoded, decode = [], task.model.decode
    monkeypatch.setattr(task.model, "decode", lambda *a: decoded.append(a) or decode(*a))
    for seed in (1, 2):
        batch = miniature.batch()
        batch.pictures = torch.rand(batch.pictures.shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        batch.keypoints = miniature.batch(seed=seed).keypoints  # the photo's own body: only for the weights
        batch.silhouettes = 1 - batch.silhouettes if seed == 2 else batch.silhouettes
        terms(task, batch)
    assert all(torch.equal(a, b) for a, b in zip(*decoded, strict=True))


def test_the_decoder_sees_the_average_body_and_the_caption(task, monkeypatch):
    batch, decoded, decode = miniature.batch(), [], task.model.decode
    monkeypatch.setattr(task.model, "decode", lambda *a: decoded.append(a) or decode(*a))
    terms(task, batch)
    code, keypoints, text = decoded[0]
    assert code.shape == (4, 8)
    assert torch.equal(keypoints, batch.keypoints_canonical)
    assert torch.equal(text, task.backbone.text_features(batch.full_captions))


def test_unknown_silhouettes_are_ignored(task):
    batch = miniature.batch()
    batch.silhouette_known[1:] = False
    batch.keypoints[0, :, 2] = 1  # a trunk is seen
    values = terms(task, batch)
    batch.silhouettes[1:] = torch.rand_like(batch.silhouettes[1:])
    again = terms(task, batch)
    assert all(torch.equal(again[term], values[term]) for term in ("silhouette", "trunk"))
    batch.silhouettes[0] = 1 - batch.silhouettes[0]
    again = terms(task, batch)
    assert not any(torch.equal(again[term], values[term]) for term in ("silhouette", "trunk"))
    batch.keypoints[0, 11] = 0
    assert terms(task, batch)["trunk"] == 0
    batch.silhouette_known[:] = False
    assert terms(task, batch)["silhouette"] == 0


def test_the_mean_code_follows_the_training_people(task, tmp_path):
    means, encode = [], task.encode
    task.encode = lambda batch: means.append(encode(batch)) or means[-1]
    fit(task, tmp_path, steps=5)
    expected = torch.stack([m.mean.detach().mean(0) for m in means]).mean(0)
    torch.testing.assert_close(task.model.mean_code, expected)


def test_validation_is_the_same_every_time_and_leaves_the_mean(task, tmp_path):
    trainer, loader = fit(task, tmp_path), DataLoader([miniature.batch()], batch_size=None)
    before = task.model.mean_code.clone()
    first = trainer.validate(task, loader, verbose=False)
    assert set(first[0]) == {f"val/{t}" for t in TERMS | {"loss"}}
    assert first == trainer.validate(task, loader, verbose=False)
    assert torch.equal(task.model.mean_code, before)


def test_the_exported_encoder_is_the_trained_one(task, tmp_path):
    fit(task, tmp_path)
    task.export(tmp_path / "body_vae")
    again, batch = BodyVAE.from_pretrained(str(tmp_path / "body_vae")), miniature.batch()
    assert (list(again.config.size), again.config.latent_dim, again.config.text_dim) == (list(miniature.SIZE), 8, None)
    trained = {n: v for n, v in task.model.state_dict().items() if not n.startswith("decoder.")}
    torch.testing.assert_close(again.state_dict(), trained, rtol=0, atol=0)  # the decoder has served its purpose
    ours, theirs = (
        m.eval().encode(batch.references.pictures, batch.references.keypoints, batch.references.mask)
        for m in (task.model, again)
    )
    assert torch.equal(ours.mean, theirs.mean)
    assert torch.equal(ours.logvar, theirs.logvar)


def test_captions_and_pictures_of_another_size_are_refused_with_the_setting_to_change(task, tmp_path):
    other = BodyVAE(latent_dim=8, size=(64, 48), text_dim=16, channels=(8, 8, 16), width=16, heads=2)
    with pytest.raises(BolidError, match=r"width \[64, 48\], and received \[48, 32\]"):
        fit(BodyVAETask(other, task.backbone), tmp_path)
    batch = miniature.batch()
    batch.references.pictures = batch.references.pictures[..., ::2]
    with pytest.raises(BolidError, match=r"set the data's references.size to \[48, 32\]"):
        terms(task, batch)
    with pytest.raises(BolidError, match="set the model's text_dim to 16"):
        BodyVAETask(BodyVAE(text_dim=128), task.backbone)
    with pytest.raises(BolidError, match=r"decoding\.max_samples is 0: decode at least one"):
        Decoding(max_samples=0)


def test_only_references_are_augmented_and_only_in_training(task):
    batch = miniature.batch()
    assert task.augmented(batch, torch.Generator()) is batch
    task.augment = ViewAugment(lost=0.5)
    changed = task.augmented(batch, torch.Generator().manual_seed(0))
    assert differing(batch, changed) == {"references"}
    assert differing(batch.references, changed.references) == {"pictures", "keypoints"}
    assert changed.references.pictures.shape == batch.references.pictures.shape
    task.augmented = None  # calling it would fail
    task.log_dict = lambda *_, **__: None
    task.validation_step(batch, 0)


def differing(a, b):
    def same(x, y):
        if is_dataclass(x):
            return not differing(x, y)
        return torch.allclose(x, y, 0, 0, equal_nan=True) if isinstance(x, torch.Tensor) else x == y

    return {f.name for f in fields(a) if not same(getattr(a, f.name), getattr(b, f.name))}


def test_the_decoder_is_told_what_the_configuration_says(task):
    batch = miniature.batch()

    def picture(**changes):
        task.decoding = replace(task.decoding, **changes)
        return terms(task, batch)

    usual = picture()
    assert picture(pose="own")["picture"] != usual["picture"]
    batch.keypoints_canonical[:] = batch.keypoints
    own = picture()["picture"]
    assert picture(pose="average")["picture"] == own
    assert picture(caption=False)["picture"] != own
    batch.captions[:] = batch.captions[::-1]
    mute = picture()["picture"]
    batch.captions[:] = batch.captions[::-1]
    assert picture()["picture"] == mute
    task.loss.silhouette_dims = 0.0
    assert picture()["silhouette"] == 0 != usual["silhouette"]


def test_one_bad_batch_does_not_spoil_the_mean(task):
    task._track_mean(torch.ones(2, 8))
    task._track_mean(torch.full((2, 8), torch.nan))
    assert torch.equal(task.model.mean_code, torch.ones(8))


def test_few_are_drawn_and_all_else_is_of_everybody(task):
    """With the batch's second half unlike, only what is told of all of it changes."""
    task.decoding.max_samples, task.loss.consistency = 2, 1.0
    batch = in_other_outfits(miniature.batch(4))
    before = terms(task, batch)
    for part, name in (
        *((batch, name) for name in ("pictures", "silhouettes", "keypoints", "keypoints_found")),
        (batch.outfit, "pictures"),
    ):
        values = getattr(part, name).clone()
        values[2:] = values[2:].flip(-1) if values.ndim > 3 else values[2:] * torch.tensor([0.9, 0.8, 1.0])
        setattr(part, name, values)
    after = terms(task, batch)
    assert {name for name in TERMS if torch.equal(before[name], after[name])} == {
        "picture", "silhouette", "consistency", "kl",
    }  # fmt: skip


def test_what_is_drawn_may_be_smaller_than_what_is_looked_at(task, monkeypatch):
    torch.manual_seed(0)
    options = {"latent_dim": 8, "size": miniature.SIZE, "text_dim": 16, "width": 16, "heads": 2}
    task.model = BodyVAE(**options, channels=(8, 8, 16), shrink=2, decoder_channels=(16, 8))
    decode, told = task.model.decode, []
    monkeypatch.setattr(task.model, "decode", lambda *a: told.append((a, decode(*a))) or told[-1][1])
    batch = miniature.batch()
    found = terms(task, batch)
    assert all(torch.isfinite(value) for value in found.values())
    (_, pose, _), drawn = told[0]
    assert drawn.picture.shape == (4, 3, 24, 16)
    assert torch.equal(pose, batch.keypoints_canonical * torch.tensor([0.5, 0.5, 1.0]))
    batch.pictures[:, :, ::2] += 0.1  # what has no mean over 2x2 pixels is not asked for
    batch.pictures[:, :, 1::2] -= 0.1
    code, _, text = told[0][0]
    asked = [
        task.loss.whole(task.model, b, Decoded(code, b.keypoints_canonical, text)) for b in (miniature.batch(), batch)
    ]
    torch.testing.assert_close(*asked)


def test_augmented_references_are_exact_in_mixed_precision(task):
    batch, generator = miniature.batch(), torch.Generator()
    off = dict.fromkeys(("colour", "move", "zoom", "blurred", "occlusion", "lost", "jitter", "doubt"), 0.0)
    task.augment = ViewAugment(**off)
    with torch.autocast("cpu", torch.bfloat16):
        same = task.augmented(batch, generator.manual_seed(0))
    torch.testing.assert_close(same.references.pictures, batch.references.pictures, atol=1e-4, rtol=0)


def own_photos(folder, people, change=lambda record: None):
    """A user's folder: drawn people, each record changed, and the data module of a stage-1 test."""
    records = fabricate(folder, people, faces=False)
    for record in records:
        change(record)
    write_manifest(folder, records)
    size = miniature.SIZE
    return IdentityDataModule(folder, 2, size, ReferenceSpec(size, 0), SplitSpec("person"), test=SplitSpec(probe=True))


def out_of_sight(record):
    record.keypoints = record.keypoints * 0


@pytest.mark.parametrize(
    ("people", "change", "left_out", "reason"),
    [
        ({"train": 4, "test": 2}, out_of_sight, "pose_leak", "no arm or leg moves in at least 5 photos"),
        ({"train": 4, "test": 2}, lambda record: None, "clothes_leak", "the shirt is known of 0 training photos"),
        ({"train": 1, "test": 1}, out_of_sight, "retrieval_top1_4view", "0 of the people tested have more than 4"),
        ({"train": 4, "test": 2}, lambda record: None, "prior_gain_nats", "there are 12 of 4"),
        ({"train": 4, "test": 2}, lambda record: None, "shape_r2", "true proportions are known of 0 training people"),
    ],
)
def test_a_test_on_own_photos_ends_in_a_report_whatever_they_lack(task, tmp_path, people, change, left_out, reason):
    data = own_photos(tmp_path / "photos", people, change)
    quiet_trainer(tmp_path, callbacks=[WriteReport()]).test(task, datamodule=data, verbose=False)
    report, page = json.loads((tmp_path / "report.json").read_text()), (tmp_path / "report.md").read_text()
    assert left_out not in report
    assert {"kl_nats", "varying_dims"} <= report.keys()
    (note,) = [line for line in page.splitlines() if f"`{left_out}`" in line and "left out" in line]
    assert reason in note


def test_a_test_without_people_of_the_training_measures_the_rest(task, tmp_path):
    data = own_photos(tmp_path / "photos", {"train": 4, "test": 2})
    data = IdentityDataModule(
        data.folder, 2, data.size, ReferenceSpec(data.size, 0), SplitSpec("person"), test=SplitSpec()
    )
    quiet_trainer(tmp_path, callbacks=[WriteReport()]).test(task, datamodule=data, verbose=False)
    assert {"kl_nats", "varying_dims"} <= json.loads((tmp_path / "report.json").read_text()).keys()
    assert "`pose_leak` left out: it is fitted on people of the training" in (tmp_path / "report.md").read_text()


def test_the_probes_are_explained_by_their_own_words(task, tmp_path):
    """Stage 2 has a clothes leak, too, which is another thing."""

    def dressed(record):
        record.attributes = {"shirt": ("red", "blue")[int(record.identity[1:]) % 2]}
        record.phrases.append(Phrase("clothes", "in a shirt"))

    data = own_photos(tmp_path / "photos", {"train": 4, "test": 2}, dressed)
    quiet_trainer(tmp_path, callbacks=[WriteReport()]).test(task, datamodule=data, verbose=False)
    lines = (tmp_path / "report.md").read_text().splitlines()
    (words,) = [line for line in lines if line.startswith("- `clothes_leak`")]
    assert "a linear probe reads the shirt's colour" in words
    assert words.endswith("lower is better.")


def test_an_exported_encoder_is_tested_or_refused_with_the_setting_to_change(task, folder, tmp_path):
    fit(task, tmp_path)
    task.export(tmp_path / "encoder")
    options = {"latent_dim": 8, "size": miniature.SIZE, "text_dim": 16, "channels": (8, 8, 16), "width": 16, "heads": 2}

    def other(**changes):
        return BodyVAETask(BodyVAE(**options | changes), task.backbone, init_from=tmp_path / "encoder")

    data = own_photos(tmp_path / "photos", {"train": 4, "test": 2})
    found = []
    for tested in (task, other(), other(decoder_channels=(16, 8))):
        quiet_trainer(tmp_path).test(tested, datamodule=data, verbose=False)
        found.append(tested.report().metrics)
    assert found[1] == pytest.approx(found[0])
    assert found[2] == pytest.approx(found[0])
    with pytest.raises(BolidError, match="weighted True, and this configuration's False: set the model's weighted to"):
        quiet_trainer(tmp_path).test(other(weighted=False), datamodule=data)
    fit(other(), tmp_path)  # a warm start of the encoder alone
    task.started = False
    task.init_from = tmp_path / "photos"
    with pytest.raises(BolidError, match=r"photos is missing or holds no config\.json"):
        quiet_trainer(tmp_path).test(task, datamodule=data)


def test_a_fit_may_be_longer_than_it_was_when_its_schedule_was_written(task, tmp_path):
    task.scheduler = partial(OneCycleLR, max_lr=1e-3)
    trainer = fit(task, tmp_path, steps=3)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    loader = DataLoader([miniature.batch(seed=i) for i in range(6)], batch_size=None)
    longer = quiet_trainer(tmp_path, max_steps=6)
    longer.fit(task, loader, ckpt_path=tmp_path / "x.ckpt")
    assert longer.global_step == 6
    assert longer.lr_scheduler_configs[0].scheduler.total_steps == 6
