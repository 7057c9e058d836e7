"""Stage 2 on random miniatures: what trains, what drops, what is saved, what is drawn."""

import json
import os
from math import inf
from zlib import crc32

import pytest
import torch
from diffusers import AutoencoderKL
from lightning.pytorch import Callback
from torch.utils.data import DataLoader
from torchmetrics.utilities import dim_zero_cat

from bolid.callbacks.report import WriteReport
from bolid.core.errors import BolidError
from bolid.core.schema import PersonBatch
from bolid.losses.alignment import AlignmentLoss
from bolid.losses.diffusion import noised
from bolid.losses.picture import PictureLoss, PixelLoss
from bolid.losses.x_gen import FewStep, OneStep
from bolid.metrics.base import PictureMetric, numbered
from bolid.metrics.interval import PersonScores
from bolid.models.backbones import StableDiffusion, StableDiffusionXL
from bolid.models.branches import BodyBranch, FaceBranch, PoseBranch
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.tasks.adapter import AdapterTask
from bolid.tasks.drawing import Column, Sampling, body_gaps, comparisons, other_people
from tests import miniature
from tests.quiet import quiet_trainer as trainer


class Red(PictureLoss):
    """Wants red pictures."""

    name = "red"

    def forward(self, pictures, batch):
        assert len(pictures) == len(batch)
        return 1 - pictures[:, 0].mean((1, 2))


COLUMNS = [Column("text"), Column("face", ["face"]), Column("both", ["face", "body"]), Column("other", ["body"], True)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    models = {"sd": miniature.save_sd(root / "sd", "v_prediction"), "sdxl": miniature.save_sdxl(root / "sdxl")}
    return models | {
        "body": miniature.save_body_vae(root / "body"),
        "body_xl": miniature.save_body_vae(root / "xl", 32),
    }


def task(folders, family="sd", **more):
    torch.manual_seed(0)
    backbone = {"sd": StableDiffusion, "sdxl": StableDiffusionXL}[family](str(folders[family]))
    branches = [FaceBranch(), BodyBranch(str(folders["body"]), num_tokens=3)]
    return AdapterTask(backbone, branches, columns=COLUMNS, sampling=Sampling(2, 2.0), **more)


def batches(count):
    return DataLoader([miniature.batch(seed=i) for i in range(count)], batch_size=None)


def trained(t):
    return {n: p.detach().clone() for n, p in t.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_short_fit_moves_every_trained_weight_and_no_other(folders, tmp_path, family):
    t = task(folders, family, text_dropout=0.0, all_dropout=0.0)
    for branch in t.branches:
        branch.dropout = 0.0
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
    embeds = [branch.embed(b) for branch in again.branches]
    arguments = {"num_inference_steps": 2, "guidance_scale": 2.0, "height": 48, "width": 32}
    seeds = [crc32(name.encode()) for name in b.file_names]
    assert torch.equal(pictures, again.draw(b.captions, embeds, [1.0, 1.0], seeds, **arguments))


def test_drops_are_exclusive_zero_and_as_frequent_as_asked(folders):
    t = task(folders)
    big = miniature.batch(400)
    t.dropouts = [0.1, 0.2, 0.3, 0.15]
    conditions = t.conditions(big, torch.Generator().manual_seed(0))
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


def test_a_term_that_weighs_nothing_yet_costs_nothing(folders):
    t = task(folders, losses=[Red(weight=1.0, start=5)], alignment=AlignmentLoss(start=5), x_gen=OneStep())
    t.losses[0].forward = t.alignment.forward = None  # calling them would fail
    assert t.terms(miniature.batch(), torch.Generator().manual_seed(0), 4).keys() == {"diffusion"}


def test_terms_are_the_same_in_every_batch_and_grown_in_validation(folders):
    t = task(folders, losses=[Red(weight=2.0, start=5, ramp=10)], x_gen=OneStep(below=0))
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
    branch, b = task(folders).branches[1], miniature.batch()
    posterior = branch.encoder.encode(b.reference_pictures, b.reference_keypoints, b.reference_mask)
    assert torch.equal(branch.embed(b), posterior.mean)
    sample = branch.embed(b, torch.Generator().manual_seed(1))
    assert torch.equal(sample, posterior.sample(torch.Generator().manual_seed(1)))
    assert not torch.equal(sample, posterior.mean)


def test_faces_are_averaged_over_the_references_that_show_one(folders):
    branch, b = task(folders).branches[0], miniature.batch()
    b.face_mask[0] = torch.tensor([False, True])
    b.face_mask[1] = False
    faces = branch.embed(b)
    assert torch.allclose(faces[0], b.reference_faces[0, 1])
    assert not faces[1].any()
    assert torch.allclose(faces[2], b.reference_faces[2].mean(0))


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


def test_columns_share_their_noise_and_the_other_column_takes_another_person(folders):
    t, b = task(folders), miniature.batch()
    b.captions = b.full_captions = ["a photo of a woman"] * 4
    rows = other_people(b)
    assert all(b.identities[r] != b.identities[i] for i, r in enumerate(rows))
    text = t.draw(b, COLUMNS[0])
    assert torch.equal(text, t.draw(b, COLUMNS[0]))
    assert not torch.equal(text, t.draw(b, COLUMNS[2]))
    own, other = t.draw(b, Column("body", ["body"])), t.draw(b, COLUMNS[3])
    assert not torch.equal(own, other)


def test_another_person_takes_the_prompts_pose(folders, monkeypatch):
    torch.manual_seed(0)
    branches = [BodyBranch(str(folders["body"]), num_tokens=3), PoseBranch()]
    t, b, told = AdapterTask(StableDiffusion(str(folders["sd"])), branches), miniature.batch(), []
    monkeypatch.setattr(
        BoLIDPipeline, "draw", lambda self, prompts, embeds, *_, **__: told.append(embeds) or b.pictures
    )
    for column in (Column("own", ["body", "pose"]), Column("other", ["body", "pose"], True)):
        t.draw(b, column)
    (body, pose), (others_body, others_pose) = told
    assert torch.equal(pose, others_pose)
    assert torch.equal(body[other_people(b)], others_body)
    assert not torch.equal(body, others_body)


def test_without_branches_the_stock_model_is_measured(folders, tmp_path):
    alone = AdapterTask(StableDiffusion(str(folders["sd"])), [], sampling=Sampling(2, 2.0), metrics=[Brightness()])
    b = miniature.batch()
    stock = StableDiffusion(str(folders["sd"])).pipeline(
        b.captions, num_inference_steps=2, guidance_scale=2.0, height=b.pictures.shape[-2], width=b.pictures.shape[-1],
        generator=[torch.Generator().manual_seed(crc32(name.encode())) for name in b.file_names], output_type="pt",
    ).images  # fmt: skip
    assert torch.equal(alone.draw(b, Column("text")), stock)
    trainer(tmp_path).test(alone, DataLoader([b], batch_size=None), verbose=False)
    assert alone.report().metrics["brightness/text"] == pytest.approx(float(stock.double().mean()))


def test_another_person_is_of_the_same_gender_where_there_is_one():
    b = miniature.batch(4)
    b.full_captions = [f"a photo of a {g}, x" for g in ("man", "woman", "man", "woman")]
    assert other_people(b) == [2, 3, 0, 1]
    b.identities = ["a", "b", "a", "b"]
    assert other_people(b) == [1, 2, 3, 0]


def test_a_batch_of_one_person_takes_the_person_before_it(folders):
    t = task(folders)
    one, two, three = (miniature.batch(1, seed=i) for i in range(3))
    one.identities, two.identities, three.identities = ["a"], ["b"], ["b"]
    ours = {id(b): [branch.embed(b) for branch in t.branches] for b in (one, two, three)}
    with pytest.raises(BolidError, match="batch_size"):
        t.of_others(one, ours[id(one)])
    for b in (two, three):  # the same person twice in a row
        found = t.of_others(b, ours[id(b)])
        assert all(torch.equal(x, y) for x, y in zip(found, ours[id(one)], strict=True))
    found = t.of_others(one, ours[id(one)])
    assert all(torch.equal(x, y) for x, y in zip(found, ours[id(three)], strict=True))


def test_a_test_whose_first_batch_shows_nobody_else_is_refused(folders, tmp_path):
    with pytest.raises(BolidError, match=r"only p0: raise data\.batch_size"):
        trainer(tmp_path).test(task(folders), DataLoader([miniature.batch(1)], batch_size=None), verbose=False)


def test_the_sample_grid_gathers_people_and_does_without_the_other_column_if_there_is_one(folders, tmp_path):
    t, both = task(folders), miniature.batch(2)
    trainer(tmp_path).validate(t, DataLoader([both[:1], both[1:]], batch_size=None), verbose=False)
    assert [list(row.columns) for row in t.sample_grid()] == [["text", "face", "both", "other"]] * 2
    trainer(tmp_path).validate(t, DataLoader([both[:1]], batch_size=None), verbose=False)
    assert [list(row.columns) for row in t.sample_grid()] == [["text", "face", "both"]]


class Brightness(PictureMetric):
    """The mean of what was drawn."""

    def __init__(self):
        super().__init__()
        self.add_rows("means", dtype=torch.float64)
        self.add_rows("people", dtype=torch.int64)

    def update(self, pictures, batch):
        self.means.append(pictures.mean((1, 2, 3)).double())
        self.people.append(numbered(batch.identities))

    def compute(self):
        return {"brightness": dim_zero_cat(self.means).mean()}

    def person_scores(self):
        with self.sync_context():
            return {"brightness": PersonScores(dim_zero_cat(self.means), dim_zero_cat(self.people))}


class Grid(Callback):
    """Keeps the sample grid of three photos that are dealt out to the ranks."""

    def on_test_end(self, trainer, pl_module):
        photos = miniature.batch(3)
        mine = [photos[k : k + 1] for k in range(trainer.global_rank, 3, trainer.world_size)]
        pl_module.grid_batch = PersonBatch.cat(mine)
        rows = pl_module.sample_grid()
        if trainer.is_global_zero:
            torch.save([row.columns | {"caption": row.caption} for row in rows], f"{trainer.default_root_dir}/grid.pt")


def measured(folders, folder, **more):
    t = task(folders, metrics=[Brightness()])
    folder.mkdir()
    tr = trainer(folder, callbacks=[WriteReport(), Grid()], **more)
    data = DataLoader([miniature.batch(n, seed=i) for i, n in enumerate((2, 4, 2, 2))], batch_size=None)
    tr.test(t, data, verbose=False)
    first = json.loads((folder / "report.json").read_text())
    return t, tr, data, first


def test_a_second_test_starts_afresh(folders, tmp_path):
    t, tr, data, first = measured(folders, tmp_path / "one")
    assert first["pictures"] == 10
    assert [r.caption for r in t.report().rows] == [miniature.CAPTIONS[i % 2] for i in range(4)]  # one for each person
    tr.test(t, DataLoader([miniature.batch(2)], batch_size=None), verbose=False)
    alone = t.report()
    assert alone.pictures == len(alone.rows) == 2
    assert alone.metrics != {k: v for k, v in first.items() if k in alone.metrics}
    tr.test(t, data, verbose=False)
    assert t.report().metrics == {k: v for k, v in first.items() if "/" in k}


def test_columns_are_compared_with_those_told_nothing_or_no_more_of_another_person():
    pairs = [("face", "text"), ("both", "text"), ("both", "other")]
    assert comparisons(COLUMNS) == pairs
    assert comparisons([Column("best", floor=True), *COLUMNS]) == pairs


def test_a_floor_shows_the_batchs_photos_as_the_autoencoder_keeps_them(folders):
    t, b = task(folders), miniature.batch()
    vae = AutoencoderKL.from_pretrained(folders["sd"] / "vae").eval()
    with torch.no_grad():
        expected = (vae.decode(vae.encode(b.pictures).latent_dist.mode()).sample / 2 + 0.5).clamp(0, 1)
    found = t.draw(b, Column("best", floor=True))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    b.captions = ["something else"] * 4
    assert torch.equal(t.draw(b, Column("best", floor=True)), found)


@pytest.mark.parametrize("more", [{"branches": ["body"]}, {"other": True}])
def test_a_floor_takes_nothing_about_a_person(more):
    with pytest.raises(BolidError, match="column best: a floor"):
        Column("best", floor=True, **more)


class Darkness(Brightness):
    """Takes how dark pictures are for errors of body shape, each picture's own."""

    def compute(self):
        return {"body_shape_error": (1 - dim_zero_cat(self.means)).square().mean().sqrt()}

    def person_scores(self):
        with self.sync_context():
            squares = (1 - dim_zero_cat(self.means)).square()
            return {"body_shape_error": PersonScores(squares, dim_zero_cat(self.people), root=True)}


def test_a_test_tells_how_much_of_the_gap_between_text_and_floor_each_column_closes(folders, tmp_path):
    torch.manual_seed(0)
    columns = [Column("best", floor=True), *COLUMNS]
    branches = [FaceBranch(), BodyBranch(str(folders["body"]), num_tokens=3)]
    backbone = StableDiffusion(str(folders["sd"]))
    t = AdapterTask(backbone, branches, columns=columns, sampling=Sampling(2, 2.0), metrics=[Darkness()])
    trainer(tmp_path).test(t, batches(2), verbose=False)
    report = t.report().metrics
    error = {c.name: report[f"body_shape_error/{c.name}"] for c in columns}
    gap = error["text"] - error["best"]
    assert abs(gap) > 0.01
    for name in ("face", "both", "other"):
        closed = f"body_gap_closed/{name}"
        assert report[closed] == pytest.approx((error["text"] - error[name]) / gap, abs=1e-6)
        assert report[f"{closed}/low"] <= report[closed] <= report[f"{closed}/high"]
    assert not any(name.startswith(("body_gap_closed/text", "body_gap_closed/best")) for name in report)
    assert not any("best" in name.partition("-")[2] for name in report)  # nothing is compared with the floor
    scores = {c.name: {k: v for m in t.metrics[c.name] for k, v in m.person_scores().items()} for c in columns}
    for without in ("best", "text"):
        assert body_gaps(scores, [c for c in columns if c.name != without]) == {}
    assert body_gaps({c.name: {} for c in columns}, columns) == {}
    assert body_gaps(scores | {"best": scores["text"]}, columns) == {}


@pytest.fixture
def half_the_threads(monkeypatch):
    """As many as Lightning gives each of two ranks; another number changes a sum's last bit."""
    before, half = torch.get_num_threads(), max(1, (os.cpu_count() or 1) // 2)
    monkeypatch.setenv("OMP_NUM_THREADS", str(half))  # the ranks'; Lightning leaves it alone where it is set
    torch.set_num_threads(half)
    yield
    torch.set_num_threads(before)


def test_two_ranks_report_the_values_of_one_and_draw_its_sample_grid(folders, tmp_path, half_the_threads):
    one = measured(folders, tmp_path / "one")[-1]
    two = measured(folders, tmp_path / "two", devices=2, strategy="ddp_spawn")[-1]
    assert two == pytest.approx(one)
    assert one["brightness/both/low"] < one["brightness/both"] < one["brightness/both/high"]
    assert one["brightness/both-text"] == pytest.approx(one["brightness/both"] - one["brightness/text"])
    alone, shared = (torch.load(tmp_path / name / "grid.pt", weights_only=True) for name in ("one", "two"))
    assert [list(row) for row in alone] == [[*(c.name for c in COLUMNS), "caption"]] * 3
    assert [row.pop("caption") for row in alone] == [row.pop("caption") for row in shared]
    assert all(torch.equal(x[name], y[name]) for x, y in zip(alone, shared, strict=True) for name in x)
