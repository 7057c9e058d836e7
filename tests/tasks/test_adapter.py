"""Stage 2 on random miniatures: what trains, what drops, what is saved."""

from dataclasses import replace
from math import inf
from zlib import crc32

import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bolid.core.errors import BolidError
from bolid.core.trained_on import TrainedOn
from bolid.losses import AlignmentLoss, FewStep, ImageLoss, OneStep, PixelLoss
from bolid.models.noise import noised
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.tasks import DiffusionSpec
from tests import miniature
from tests.commands.quiet import quiet_trainer as trainer
from tests.tasks.adapters import batches, task


class Red(ImageLoss):
    """Wants red images."""

    needs = "nothing but an image"

    def forward(self, images, batch, groups):
        assert len(images) == len(batch) == len(groups)
        return 1 - images[:, 0].mean((1, 2))


def trained(t):
    return {n: p.detach().clone() for n, p in t.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_short_fit_moves_every_trained_weight_and_no_other(folders, tmp_path, family):
    t = task(folders, family)
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
    images = t.evaluator.generate("both", b)
    assert images.shape == (4, 3, *miniature.SIZE)
    t.export(tmp_path / "adapter")
    again = BoLIDPipeline.from_pretrained(tmp_path / "adapter")
    embeds = {name: condition.embed(b.references) for name, condition in again.conditions.items()}
    arguments = {"num_inference_steps": 2, "guidance_scale": 2.0, "height": 48, "width": 32}
    seeds = [crc32(name.encode()) for name in b.file_names]
    assert torch.equal(images, again.generate(b.captions, embeds, {"face": 1.0, "body": 1.0}, seeds, **arguments))


def test_drops_are_exclusive_zero_and_as_frequent_as_asked(folders):
    t = task(folders)
    big = miniature.batch(400)
    t.dropouts = [0.1, 0.2, 0.3, 0.15]
    inputs = t.inputs(big, torch.Generator().manual_seed(0))
    empty = t.backbone.encode_nothing().hidden
    text, (face, body) = inputs.kept(t.backbone.encode_nothing())
    no_text = (text.hidden == empty).all((1, 2))
    no_face, no_body = (face == 0).all((1, 2)), (body == 0).all((1, 2))
    everything = no_text & no_face & no_body
    assert torch.equal(inputs.complete, ~(no_text | no_face | no_body))
    assert not ((no_text ^ everything) & (no_face ^ everything)).any()
    assert not ((no_face ^ everything) & (no_body ^ everything)).any()
    shares = [
        s.float().mean().item() for s in (no_text ^ everything, everything, no_face ^ everything, no_body ^ everything)
    ]
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.15], abs=0.06)


def test_dropouts_that_add_up_to_more_than_everything_are_refused(folders):
    with pytest.raises(BolidError, match="exclusive shares"):
        task(folders, diffusion=DiffusionSpec(text_dropout=0.6, all_dropout=0.5))


def test_a_group_shares_noise_timestep_and_drops_wherever_its_samples_stand(folders, monkeypatch):
    t = task(folders, diffusion=DiffusionSpec(text_dropout=0.5))
    b = miniature.batch(32)
    b.pictures = b.pictures[:1].expand_as(b.pictures)  # so that what is noised differs by the noise alone
    # pairs at odd distances, and one whose other member is missing
    b.groups = torch.tensor([9, 9, 4, *range(100, 113), *range(100, 113), 4, 77, 5])
    seen = {}
    monkeypatch.setattr(
        t.backbone, "predict",
        lambda noisy, timesteps, text, *_: seen.update(noisy=noisy, timesteps=timesteps) or torch.zeros_like(noisy),
    )  # fmt: skip
    t.terms(b, torch.Generator().manual_seed(0), 0)
    drops = t.inputs(b, torch.Generator().manual_seed(0)).drop_text
    for found in (seen["noisy"].flatten(1)[:, 0], seen["timesteps"], drops):
        of_group = {}
        for group, value in zip(b.groups.tolist(), found.tolist(), strict=True):
            assert of_group.setdefault(group, value) == value
        assert len(set(of_group.values())) > 1


def test_photos_encoded_once_teach_the_same(folders, monkeypatch):
    b, encoded = miniature.batch(), []
    always, once = (task(folders, diffusion=DiffusionSpec(cache_latents=kept)) for kept in (False, True))
    encode = once.backbone.encode_pictures
    monkeypatch.setattr(once.backbone, "encode_pictures", lambda pictures: encoded.append(pictures) or encode(pictures))
    for step in range(2):
        found = [t.terms(b, torch.Generator().manual_seed(step), 0)["diffusion"] for t in (always, once)]
        torch.testing.assert_close(*found)  # summed in another order
    assert len(encoded) == 1


@pytest.mark.parametrize("estimator", [OneStep(1000), FewStep(2, 1, max_samples=2)])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_every_term_is_logged_weighed_and_trains(folders, tmp_path, family, estimator):
    losses = {"red": Red(weight=0.5), "alignment": AlignmentLoss(weight=2.0)}
    t = task(folders, family, losses=losses, x_gen=estimator)
    before = trained(t)
    tr = trainer(tmp_path)
    tr.fit(t, batches(2), batches(1))
    logged = {k: float(v) for k, v in tr.callback_metrics.items()}
    assert logged["train/loss"] == pytest.approx(
        logged["train/diffusion"] + 0.5 * logged["train/red"] + 2 * logged["train/alignment"], rel=1e-5
    )
    assert {"val/diffusion", "val/red", "val/alignment", "val/loss"} <= logged.keys()
    assert all(not torch.equal(p, before[n]) for n, p in trained(t).items())


class Picky(Red):
    """Scores no woman."""

    needs = "no women"

    def __init__(self, weight=1.0, seen=None):
        super().__init__(weight)
        self.seen = [] if seen is None else seen

    def can_score(self, batch):
        return torch.tensor(["woman" not in caption for caption in batch.full_captions])

    def forward(self, images, batch, groups):
        self.seen.extend(batch.file_names)
        return super().forward(images, batch, groups)


def test_images_are_made_of_what_most_losses_can_score_and_no_loss_gets_what_it_cannot(folders):
    b = miniature.batch(count=4)
    t = task(folders, losses={"red": Red(1.0), "picky": Picky()}, x_gen=FewStep(2, 1, max_samples=2))
    t.terms(b, torch.Generator().manual_seed(0), 0)
    assert t.losses["picky"].seen == b.file_names[1::2]
    t = task(folders, losses={"red": Red(1.0), "picky": Picky()}, x_gen=FewStep(2, 1))
    terms = t.terms(b, torch.Generator().manual_seed(0), 0)
    assert t.losses["picky"].seen == b.file_names[1::2]
    assert 0 < terms["picky"] < terms["red"]  # half of the images are zero


def test_a_loss_gets_the_groups_of_its_images(folders):
    found = []

    class Grouped(Red):
        def forward(self, images, batch, groups):
            found.append(groups.tolist())
            return super().forward(images, batch, groups)

    t, b = task(folders, losses={"grouped": Grouped(1.0)}, x_gen=FewStep(2, 1)), miniature.batch(count=4)
    b.groups = torch.tensor([3, 8, 3, 8])
    t.terms(b, torch.Generator().manual_seed(0), 0)
    assert found == [[3, 8, 3, 8]]


def test_a_fit_in_which_a_loss_can_score_nothing_is_refused_before_the_first_step(folders, tmp_path):
    class Never(Picky):
        def can_score(self, batch):
            return torch.zeros(len(batch), dtype=torch.bool)

    t = task(folders, losses={"red": Red(1.0), "shape": Never()}, x_gen=OneStep(1000))
    before = trained(t)
    with pytest.raises(
        BolidError, match=r"losses\.shape can use 0 % .* it needs no women; .* set losses\.shape to null"
    ):
        trainer(tmp_path).fit(t, batches(2))
    assert all(torch.equal(before[n], p) for n, p in trained(t).items())


def test_what_a_part_can_use_is_said_once_by_name(folders, tmp_path, caplog):
    t = task(folders, losses={"red": Red(1.0), "picky": Picky()}, x_gen=OneStep(1000))
    batch = miniature.batch(8)
    batch.references.face_mask[:2] = False
    trainer(tmp_path).fit(t, DataLoader([batch], batch_size=None))
    lines = [record.message for record in caplog.records if "of the training samples" in record.message]
    assert sorted(lines) == [
        "conditions.face can use 75 % of the training samples",
        "losses.picky can use 50 % of the training samples",
    ]


def test_a_condition_that_hardly_any_sample_shows_is_refused(folders, tmp_path):
    batch = miniature.batch(24)
    batch.references.face_mask[1:] = False
    with pytest.raises(BolidError, match=r"conditions\.face can use 4 % .* set conditions\.face to null"):
        trainer(tmp_path).fit(task(folders), DataLoader([batch], batch_size=None))


def test_a_term_that_weighs_nothing_yet_costs_nothing(folders):
    losses = {"red": Red(weight=1.0, start=5), "alignment": AlignmentLoss(start=5)}
    t = task(folders, losses=losses, x_gen=OneStep())
    for loss in losses.values():
        loss.forward = None  # calling them would fail
    assert t.terms(miniature.batch(), torch.Generator().manual_seed(0), 4).keys() == {"diffusion"}


def test_terms_are_the_same_in_every_batch_and_grown_in_validation(folders):
    t = task(folders, losses={"red": Red(weight=2.0, start=5, ramp=10)}, x_gen=OneStep(1))
    t.losses["red"].forward = None  # pose networks fail at no images
    for step in (6, inf):
        terms = t.terms(miniature.batch(), torch.Generator().manual_seed(0), step)
        assert terms["red"] == 0  # no image can be made
    terms = {"diffusion": torch.tensor(1.0), "red": torch.tensor(1.0)}
    assert t.total(terms, inf) == 3
    assert t.total(terms, 5) == pytest.approx(1.2)


def test_two_losses_of_one_class_are_two_terms_by_their_names(folders):
    t = task(folders, losses={"weak": Red(1.0), "strong": Red(3.0), "gone": None}, x_gen=OneStep(1000))
    terms = t.terms(miniature.batch(), torch.Generator().manual_seed(0), 0)
    assert terms.keys() == {"diffusion", "weak", "strong"}
    assert torch.equal(t.total(terms, 0), terms["diffusion"] + terms["weak"] + 3 * terms["strong"])


def test_terms_beside_leave_the_diffusion_loss_as_it_is(folders):
    alone, more = (
        task(folders, **terms).terms(miniature.batch(), torch.Generator().manual_seed(0), 0)["diffusion"]
        for terms in ({}, {"losses": {"red": Red(1.0), "alignment": AlignmentLoss()}, "x_gen": OneStep()})
    )
    assert torch.equal(alone, more)


def test_the_person_and_the_signal_to_noise_weigh_the_diffusion_loss(folders, monkeypatch):
    t = task(folders, diffusion=DiffusionSpec(person_weight=3.0, min_snr_gamma=5.0, shift=4.0))
    b, seen, predict = miniature.batch(), {}, t.backbone.predict
    monkeypatch.setattr(t.backbone, "predict", lambda *a: seen.setdefault("predicted", predict(*a)))
    loss = t.terms(b, torch.Generator().manual_seed(0), 0)["diffusion"]
    latents, schedule = t.backbone.encode_pictures(b.pictures), t.backbone.noise_scheduler
    _, noise, timesteps = noised(schedule, latents, b.groups, torch.Generator().manual_seed(0), shift=4.0)
    error = (seen["predicted"] - schedule.get_velocity(latents, noise, timesteps)).square()
    person = F.interpolate(b.silhouettes, latents.shape[2:], mode="area") * b.silhouette_known[:, None, None, None]
    weight = (1 + 3 * person) / (1 + 3 * person).mean((1, 2, 3), keepdim=True)
    alphas = schedule.alphas_cumprod[timesteps]
    snr = alphas / (1 - alphas)
    expected = (error * weight).mean((1, 2, 3)) * snr.clamp_max(5) / (snr + 1)
    torch.testing.assert_close(loss, expected.mean())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"losses": {"red": Red(1.0)}}, r"losses\.red scores images: set x_gen"),
        ({"losses": {"pixel": PixelLoss()}, "x_gen": FewStep()}, r"losses\.pixel compares .* FewStep generates other"),
        ({"losses": {"diffusion": AlignmentLoss()}}, "the name 'diffusion' is reserved"),
        ({"losses": {"a.b": AlignmentLoss()}}, "losses: 'a.b' cannot be a name"),
    ],
)
def test_losses_that_cannot_be_are_refused(folders, settings, complaint):
    with pytest.raises(BolidError, match=complaint):
        task(folders, **settings)


def test_training_samples_the_body_and_inference_takes_its_mean(folders):
    condition, b = task(folders).conditions["body"], miniature.batch()
    posterior = condition.encoder.encode(b.references.pictures, b.references.keypoints, b.references.mask)
    assert torch.equal(condition.embed(b.references), posterior.mean)
    sample = condition.embed(b.references, torch.Generator().manual_seed(1))
    assert torch.equal(sample, posterior.sample(torch.Generator().manual_seed(1)))
    assert not torch.equal(sample, posterior.mean)


def test_faces_are_averaged_over_the_references_that_show_one(folders):
    condition, b = task(folders).conditions["face"], miniature.batch()
    b.references.face_mask[0] = torch.tensor([False, True])
    b.references.face_mask[1] = False
    faces = condition.embed(b.references)
    assert torch.allclose(faces[0], b.references.faces[0, 1])
    assert not faces[1].any()
    assert torch.allclose(faces[2], b.references.faces[2].mean(0))


def test_validation_loss_is_the_same_every_time(folders, tmp_path):
    t, tr = task(folders), trainer(tmp_path)
    assert tr.validate(t, batches(2), verbose=False) == tr.validate(t, batches(2), verbose=False)


def test_bf16_mixed_trains(folders, tmp_path):
    t = task(folders)
    before = trained(t)
    trainer(tmp_path, precision="bf16-mixed").fit(t, batches(2))
    assert all(torch.isfinite(p).all() for p in trained(t).values())
    assert any(not torch.equal(before[n], p) for n, p in trained(t).items())


@pytest.mark.parametrize("goes_on", [True, False])
def test_whom_weights_were_trained_on_stays_with_them(folders, tmp_path, goes_on):
    before = task(folders)
    before.trained_on = TrainedOn.of(["ann"])
    checkpoint = {"state_dict": dict(before.state_dict())}
    before.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "x.ckpt")
    after = task(folders, init_from=tmp_path / "x.ckpt")
    if goes_on:
        after.on_load_checkpoint(checkpoint)
    else:
        after._load_checkpoint(tmp_path / "x.ckpt")
    both = TrainedOn.of(["bob"], after.trained_on)
    assert ["ann" in both, "bob" in both, "eve" in both] == [True, True, False]


def test_what_would_never_count_is_refused_before_the_first_step(folders, tmp_path):
    late = task(folders, losses={"red": Red(1.0, start=3)}, x_gen=OneStep())
    with pytest.raises(BolidError, match=r"losses\.red starts at step 3, and the fit ends at 3: lower start"):
        trainer(tmp_path, max_steps=3).fit(late, batches(3))
    unseen = task(folders, diffusion=DiffusionSpec(person_weight=2.0))
    unknown = replace(miniature.batch(), silhouette_known=torch.zeros(len(miniature.batch()), dtype=torch.bool))
    part = unseen.parts()["diffusion.person_weight"]
    assert not part.can_use(unknown).any()
    assert part.can_use(replace(unknown, silhouette_known=~unknown.silhouette_known)).all()
    assert "diffusion.person_weight" not in task(folders).parts()
