"""Stage 2 on random miniatures: what trains, what drops, what is saved."""

from math import inf
from zlib import crc32

import pytest
import torch
from bolid.losses.picture import PictureLoss, PixelLoss
from bolid.tasks.drawing import Column
from lightning import LightningDataModule
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.data.specs import SplitSpec
from bolid.losses.alignment import AlignmentLoss
from bolid.losses.diffusion import noised
from bolid.losses.x_gen import FewStep, OneStep
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.tasks import AdapterTask
from tests import miniature
from tests.commands.quiet import quiet_trainer as trainer
from tests.tasks.adapters import COLUMNS, batches, task


class Red(PictureLoss):
    """Wants red pictures."""

    name = "red"

    def forward(self, pictures, batch, noises=None):
        assert len(pictures) == len(batch)
        return 1 - pictures[:, 0].mean((1, 2))


def trained(t):
    return {n: p.detach().clone() for n, p in t.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_short_fit_moves_every_trained_weight_and_no_other(folders, tmp_path, family):
    t = task(folders, family, text_dropout=0.0, all_dropout=0.0)
    for condition in t.conditions.values():
        condition.dropout = 0.0
    t.dropouts = [0.0] * 4
    before, frozen = trained(t), {n: p.clone() for n, p in t.named_parameters() if not p.requires_grad}
    trainer(tmp_path).fit(t, batches(2))
    assert all(not torch.equal(before[n], p) for n, p in trained(t).items())
    assert all(torch.equal(frozen[n], p) for n, p in t.named_parameters() if n in frozen)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_generation_after_a_fit_and_its_export(folders, tmp_path, family):
    t = task(folders, family)
    trainer(tmp_path, max_steps=1).fit(t, batches(1))
    b = miniature.batch()
    pictures = t.draw(b, COLUMNS[2])
    assert pictures.shape == (4, 3, *miniature.SIZE)
    t.export(tmp_path / "adapter")
    again = BoLIDPipeline.from_pretrained(tmp_path / "adapter")
    embeds = {name: condition.embed(b.references) for name, condition in again.conditions.items()}
    arguments = {"num_inference_steps": 2, "guidance_scale": 2.0, "height": 48, "width": 32}
    seeds = [crc32(name.encode()) for name in b.file_names]
    assert torch.equal(pictures, again.generate(b.captions, embeds, {"face": 1.0, "body": 1.0}, seeds, **arguments))


def test_drops_are_exclusive_zero_and_as_frequent_as_asked(folders):
    t = task(folders)
    big = miniature.batch(400)
    t.dropouts = [0.1, 0.2, 0.3, 0.15]
    conditions = t.dropped(big, torch.Generator().manual_seed(0))
    empty = t.backbone.encode_nothing().hidden
    text, (face, body) = conditions.kept(t.backbone.encode_nothing())
    no_text = (text.hidden == empty).all((1, 2))
    no_face, no_body = (face == 0).all((1, 2)), (body == 0).all((1, 2))
    everything = no_text & no_face & no_body
    assert torch.equal(conditions.complete, ~(no_text | no_face | no_body))
    assert not ((no_text ^ everything) & (no_face ^ everything)).any()
    assert not ((no_face ^ everything) & (no_body ^ everything)).any()
    shares = [
        s.float().mean().item() for s in (no_text ^ everything, everything, no_face ^ everything, no_body ^ everything)
    ]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.15], abs=0.06)


def test_opposites_share_noise_timestep_and_drops_in_training_only(folders, monkeypatch):
    t = task(folders, text_dropout=0.5)
    b = miniature.batch(32)
    b.pictures = b.pictures[:1].expand_as(b.pictures)  # so that what is noised differs by the noise alone
    monkeypatch.setattr(t, "of_data", lambda name, default: 2 if name == "group_size" else default)
    seen = {}
    monkeypatch.setattr(
        t.backbone, "predict",
        lambda noisy, timesteps, text, *_: seen.update(noisy=noisy, timesteps=timesteps) or torch.zeros_like(noisy),
    )  # fmt: skip
    for training in (True, False):
        t.train(training).terms(b, torch.Generator().manual_seed(0), 0)
        drops = t.dropped(b, torch.Generator().manual_seed(0)).drop_text
        for drawn in (seen["noisy"], seen["timesteps"], drops):
            assert torch.equal(drawn[::2], drawn[1::2]) == training
            assert len(set(map(str, drawn[::2].tolist()))) > 1


def test_photos_encoded_once_teach_the_same(folders, monkeypatch):
    b, encoded = miniature.batch(), []
    always, once = (task(folders, encode_once=kept) for kept in (False, True))
    encode = once.backbone.encode_pictures
    monkeypatch.setattr(once.backbone, "encode_pictures", lambda pictures: encoded.append(pictures) or encode(pictures))
    for step in range(2):
        told = [t.terms(b, torch.Generator().manual_seed(step), 0)["diffusion"] for t in (always, once)]
        torch.testing.assert_close(*told)  # summed in another order
    assert len(encoded) == 1


def test_mirrored_photos_are_refused_where_each_is_encoded_once(folders, tmp_path):
    data = LightningDataModule.from_datasets(batches(1).dataset, batch_size=None)
    data.specs = {"train": SplitSpec(flip=0.5)}
    with pytest.raises(BolidError, match=r"set data\.train\.flip to 0"):
        trainer(tmp_path).fit(task(folders, encode_once=True), data)


@pytest.mark.parametrize("estimator", [OneStep(below=1000), FewStep(2, 1, most=2)])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_every_term_is_logged_weighed_and_trains(folders, tmp_path, family, estimator):
    terms = {"losses": [Red(weight=0.5)], "alignment": AlignmentLoss(weight=2.0), "x_gen": estimator}
    t = task(folders, family, **terms)
    before = trained(t)
    tr = trainer(tmp_path)
    tr.fit(t, batches(2), batches(1))
    logged = {k: float(v) for k, v in tr.callback_metrics.items()}
    assert logged["train/loss"] == pytest.approx(
        logged["train/diffusion"] + 0.5 * logged["train/red"] + 2 * logged["train/alignment"], rel=1e-5
    )
    assert {"val/diffusion", "val/red", "val/alignment", "val/loss"} <= logged.keys()
    assert all(not torch.equal(p, before[n]) for n, p in trained(t).items())


def test_pictures_are_made_of_what_losses_can_judge(folders):
    b, seen = miniature.batch(count=4), []

    class Picky(Red):
        def judges(self, captions):
            return torch.tensor(["woman" not in caption for caption in captions])

        def forward(self, pictures, batch, noises=None):
            seen.extend(batch.file_names)
            return super().forward(pictures, batch)

    t = task(folders, losses=[Red(1.0), Picky(1.0)], x_gen=FewStep(2, 1, most=2))
    t.terms(b, torch.Generator().manual_seed(0), 0)
    assert seen == b.file_names[1::2]


def test_losses_are_told_which_pictures_are_from_the_same_noise(folders, monkeypatch):
    told = []

    class Told(Red):
        def forward(self, pictures, batch, noises=None):
            told.append(noises.tolist())
            return super().forward(pictures, batch)

    t = task(folders, losses=[Told(1.0)], x_gen=FewStep(2, 1))
    for alike in (1, 2):
        monkeypatch.setattr(AdapterTask, "alike", alike)
        t.terms(miniature.batch(count=4), torch.Generator().manual_seed(0), 0)
    assert told == [[0, 1, 2, 3], [0, 0, 1, 1]]


def test_a_term_that_weighs_nothing_yet_costs_nothing(folders):
    t = task(folders, losses=[Red(weight=1.0, start=5)], alignment=AlignmentLoss(start=5), x_gen=OneStep())
    t.losses[0].forward = t.alignment.forward = None  # calling them would fail
    assert t.terms(miniature.batch(), torch.Generator().manual_seed(0), 4).keys() == {"diffusion"}


def test_terms_are_the_same_in_every_batch_and_grown_in_validation(folders):
    t = task(folders, losses=[Red(weight=2.0, start=5, ramp=10)], x_gen=OneStep(below=0))
    t.losses[0].forward = None  # pose networks fail at no pictures
    for step in (6, inf):
        terms = t.terms(miniature.batch(), torch.Generator().manual_seed(0), step)
        assert terms["red"] == 0  # no picture can be made
    terms = {"diffusion": torch.tensor(1.0), "red": torch.tensor(1.0)}
    assert t.total(terms, inf) == 3
    assert t.total(terms, 5) == pytest.approx(1.2)


def test_terms_beside_leave_the_diffusion_loss_as_it_is(folders):
    alone, more = (
        task(folders, **terms).terms(miniature.batch(), torch.Generator().manual_seed(0), 0)["diffusion"]
        for terms in ({}, {"losses": [Red(1.0)], "alignment": AlignmentLoss(), "x_gen": OneStep()})
    )
    assert torch.equal(alone, more)


def test_the_person_and_the_signal_to_noise_weigh_the_diffusion_loss(folders, monkeypatch):
    t = task(folders, person_weight=3.0, min_snr_gamma=5.0, shift=4.0)
    b, seen, predict = miniature.batch(), {}, t.backbone.predict
    monkeypatch.setattr(t.backbone, "predict", lambda *a: seen.setdefault("predicted", predict(*a)))
    loss = t.terms(b, torch.Generator().manual_seed(0), 0)["diffusion"]
    latents, schedule = t.backbone.encode_pictures(b.pictures), t.backbone.noise_scheduler
    _, noise, timesteps = noised(schedule, latents, torch.Generator().manual_seed(0), shift=4.0)
    error = (seen["predicted"] - schedule.get_velocity(latents, noise, timesteps)).square()
    person = F.interpolate(b.silhouettes, latents.shape[2:], mode="area") * b.silhouette_known[:, None, None, None]
    weight = (1 + 3 * person) / (1 + 3 * person).mean((1, 2, 3), keepdim=True)
    alphas = schedule.alphas_cumprod[timesteps]
    snr = alphas / (1 - alphas)
    expected = (error * weight).mean((1, 2, 3)) * snr.clamp_max(5) / (snr + 1)
    torch.testing.assert_close(loss, expected.mean())


def test_losses_that_no_picture_suits_are_refused(folders):
    with pytest.raises(BolidError, match="Red looks at pictures: set x_gen"):
        task(folders, losses=[Red(1.0)])
    with pytest.raises(BolidError, match="PixelLoss compares with the photo, and FewStep draws other poses"):
        task(folders, losses=[PixelLoss()], x_gen=FewStep())


def test_noise_offset_moves_whole_channels():
    from diffusers import DDPMScheduler

    def noise(offset):
        return noised(DDPMScheduler(), torch.zeros(400, 4, 6, 6), torch.Generator().manual_seed(0), offset=offset)[1]

    assert noise(0.0).mean((2, 3)).std() == pytest.approx(1 / 6, rel=0.1)
    assert noise(0.5).mean((2, 3)).std() == pytest.approx((1 / 36 + 0.25) ** 0.5, rel=0.1)
    moved = noise(0.5) - noise(0.0)
    torch.testing.assert_close(moved, moved[..., :1, :1].expand_as(moved), atol=1e-5, rtol=0)


def test_training_samples_the_body_and_inference_takes_its_mean(folders):
    branch, b = task(folders).conditions["body"], miniature.batch()
    posterior = branch.encoder.encode(b.references.pictures, b.references.keypoints, b.references.mask)
    assert torch.equal(branch.embed(b.references), posterior.mean)
    sample = branch.embed(b.references, torch.Generator().manual_seed(1))
    assert torch.equal(sample, posterior.sample(torch.Generator().manual_seed(1)))
    assert not torch.equal(sample, posterior.mean)


def test_faces_are_averaged_over_the_references_that_show_one(folders):
    branch, b = task(folders).conditions["face"], miniature.batch()
    b.references.face_mask[0] = torch.tensor([False, True])
    b.references.face_mask[1] = False
    faces = branch.embed(b.references)
    assert torch.allclose(faces[0], b.references.faces[0, 1])
    assert not faces[1].any()
    assert torch.allclose(faces[2], b.references.faces[2].mean(0))


def test_a_checkpoint_holds_exactly_what_was_trained(folders, tmp_path):
    t = task(folders)
    tr = trainer(tmp_path)
    tr.fit(t, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)["state_dict"]
    assert saved.keys() == trained(t).keys()


def test_a_warm_start_takes_the_weights_and_not_the_step(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    second = task(folders, init_from=tmp_path / "x.ckpt", optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    tr = trainer(tmp_path, max_steps=1)
    tr.fit(second, batches(1))
    assert tr.global_step == 1
    assert all(torch.equal(v, trained(first)[n]) for n, v in trained(second).items())


def test_a_strengthened_warm_start_says_what_a_larger_scale_would(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    strengths = [2.5 if name == "body" else 1.0 for name in first.conditions]
    louder = task(folders, init_from=tmp_path / "x.ckpt", strengths=strengths)
    trainer(tmp_path).validate(louder, batches(1), verbose=False)
    louder.warm_start()  # of a second verb: not again
    batch = next(iter(batches(1)))
    as_loud = first.draw(batch, Column("body", ["body"], scale=2.5))
    torch.testing.assert_close(louder.draw(batch, Column("body", ["body"])), as_loud, atol=1e-4, rtol=0)
    assert not torch.allclose(first.draw(batch, Column("body", ["body"])), as_loud, atol=1e-3)
    with pytest.raises(BolidError, match=r"strengths: give \d numbers, one for each condition, not 3"):
        task(folders, strengths=[1.0, 2.0, 3.0])


def test_a_verb_without_a_fit_starts_from_the_same_weights_and_one_after_a_fit_keeps_those(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    expected = trained(first)
    for verb in ("validate", "test", "predict"):
        second = task(folders, init_from=tmp_path / "x.ckpt")
        getattr(trainer(tmp_path), verb)(second, batches(1))
        assert all(torch.equal(v, expected[n]) for n, v in trained(second).items()), verb
    trainer(tmp_path).fit(second, batches(2))
    moved = trained(second)
    assert any(not torch.equal(v, expected[n]) for n, v in moved.items())
    trainer(tmp_path).validate(second, batches(1), verbose=False)
    assert all(torch.equal(v, moved[n]) for n, v in trained(second).items())


def test_where_a_checkpoint_is_loaded_the_warm_start_is_not_asked_for(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    for verb in ("fit", "validate", "test", "predict"):
        second = task(folders, init_from=tmp_path / "moved.ckpt")
        getattr(trainer(tmp_path), verb)(second, batches(1), ckpt_path=tmp_path / "x.ckpt", weights_only=True)
        assert all(torch.equal(v, trained(first)[n]) for n, v in trained(second).items()), verb


def test_a_warm_start_from_something_else_is_refused(folders, tmp_path):
    torch.save({"state_dict": {"other": torch.ones(1)}}, tmp_path / "y.ckpt")
    with pytest.raises(BolidError, match="lacks"):
        trainer(tmp_path).fit(task(folders, init_from=tmp_path / "y.ckpt"), batches(1))
    (tmp_path / "garbage.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(BolidError, match="is no checkpoint"):
        trainer(tmp_path).fit(task(folders, init_from=tmp_path / "garbage.ckpt"), batches(1))
    with pytest.raises(BolidError, match="no checkpoint"):
        trainer(tmp_path).fit(task(folders, init_from=tmp_path / "z.ckpt"), batches(1))


def test_validation_loss_is_the_same_every_time(folders, tmp_path):
    t, tr = task(folders), trainer(tmp_path)
    assert tr.validate(t, batches(2), verbose=False) == tr.validate(t, batches(2), verbose=False)


def test_bf16_mixed_trains(folders, tmp_path):
    t = task(folders)
    before = trained(t)
    trainer(tmp_path, precision="bf16-mixed").fit(t, batches(2))
    assert all(torch.isfinite(p).all() for p in trained(t).values())
    assert any(not torch.equal(before[n], p) for n, p in trained(t).items())
