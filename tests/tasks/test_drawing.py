"""What a test draws and measures, on random miniatures: columns, floors, gaps, ranks."""

import json
import os
from pathlib import Path
from zlib import crc32

import pytest
import torch
from bolid.tasks.drawing import Column, Sampling, body_gaps, comparisons, other_people
from diffusers import AutoencoderKL, UniPCMultistepScheduler
from lightning.pytorch import Callback
from torch.utils.data import DataLoader
from torchmetrics.utilities import dim_zero_cat

from bolid.callbacks.report import WriteReport
from bolid.conditions import BodyCondition, FaceCondition, PoseCondition
from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import ImageMetric, numbered
from bolid.metrics.interval import PersonScores
from bolid.models.backbones import StableDiffusion
from bolid.models.body_prior import fit_body_prior
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.tasks.adapter import AdapterTask
from tests import miniature
from tests.commands.quiet import quiet_trainer as trainer
from tests.tasks.adapters import COLUMNS, batches, task


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
    assert torch.equal(t.draw(b, Column("body", ["body"], scale=0.0)), text)
    assert not torch.equal(t.draw(b, Column("body", ["body"], scale=0.5)), own)
    assert not torch.equal(t.draw(b, Column("body", ["body"], negative_body=True)), own)


def test_each_prompt_is_drawn_as_often_as_asked_for_from_noise_of_its_own(folders, tmp_path):
    t, b = task(folders, metrics=[Brightness()]), miniature.batch()
    first, second = (t.draw(b, COLUMNS[0], number) for number in (0, 1))
    assert torch.equal(first, t.draw(b, COLUMNS[0]))
    assert not any(torch.equal(x, y) for x in first for y in second)
    t.sampling.pictures = 2
    trainer(tmp_path).test(t, DataLoader([b], batch_size=None), verbose=False)
    report = t.report()
    assert report.pictures == 2 * len(b)
    both = torch.cat([first, second]).double().mean()
    assert report.metrics["brightness/text"] == pytest.approx(float(both))
    assert torch.equal(report.rows[0].columns["text"], first[0])


def test_a_test_may_draw_by_another_scheduler_of_diffusers_as_diffusers_makes_it(folders):
    t, b = task(folders), miniature.batch()
    text = t.draw(b, COLUMNS[0])
    stock = UniPCMultistepScheduler.from_config(t.backbone.pipeline.scheduler.config)
    quick = Sampling(2, 2.0, scheduler="UniPCMultistepScheduler")
    other = AdapterTask(t.backbone, dict(t.conditions), columns=COLUMNS, sampling=quick)
    assert other.backbone.pipeline.scheduler.config == stock.config
    assert not torch.equal(other.draw(b, COLUMNS[0]), text)
    with pytest.raises(BolidError, match=r"no scheduler 'Euler'.*DDIMScheduler, .*UniPC"):
        t.backbone.draw_with("Euler")


def test_another_person_takes_the_prompts_pose(folders, monkeypatch):
    torch.manual_seed(0)
    conditions = {"body": BodyCondition(str(folders["body"]), num_tokens=3), "pose": PoseCondition()}
    t, b, told = AdapterTask(StableDiffusion(str(folders["sd"])), conditions), miniature.batch(), []
    monkeypatch.setattr(
        BoLIDPipeline, "generate", lambda self, prompts, embeds, *_, **__: told.append(embeds.values()) or b.pictures
    )
    for column in (Column("own", ["body", "pose"]), Column("other", ["body", "pose"], True)):
        t.draw(b, column)
    (body, pose), (others_body, others_pose) = told
    assert torch.equal(pose, others_pose)
    assert torch.equal(body[other_people(b)], others_body)
    assert not torch.equal(body, others_body)


def test_without_conditions_the_stock_model_is_measured(folders, tmp_path):
    alone = AdapterTask(StableDiffusion(str(folders["sd"])), {}, sampling=Sampling(2, 2.0), metrics=[Brightness()])
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
    ours = {id(b): {n: c.embed(b.references) for n, c in t.conditions.items()} for b in (one, two, three)}
    with pytest.raises(BolidError, match="batch_size"):
        t.of_others(one, ours[id(one)])
    for b in (two, three):  # the same person twice in a row
        found = t.of_others(b, ours[id(b)])
        assert all(torch.equal(x, y) for x, y in zip(found.values(), ours[id(one)].values(), strict=True))
    found = t.of_others(one, ours[id(one)])
    assert all(torch.equal(x, y) for x, y in zip(found.values(), ours[id(three)].values(), strict=True))


def test_a_test_whose_first_batch_shows_nobody_else_is_refused(folders, tmp_path):
    with pytest.raises(BolidError, match=r"only p0: raise data\.batch_size"):
        trainer(tmp_path).test(task(folders), DataLoader([miniature.batch(1)], batch_size=None), verbose=False)


def test_the_sample_grid_gathers_people_and_does_without_the_other_column_if_there_is_one(folders, tmp_path):
    t, both = task(folders), miniature.batch(2)
    trainer(tmp_path).validate(t, DataLoader([both[:1], both[1:]], batch_size=None), verbose=False)
    assert [list(row.columns) for row in t.sample_grid()] == [["text", "face", "both", "other"]] * 2
    trainer(tmp_path).validate(t, DataLoader([both[:1]], batch_size=None), verbose=False)
    assert [list(row.columns) for row in t.sample_grid()] == [["text", "face", "both"]]


class Brightness(ImageMetric):
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
        pl_module.grid_batch = TrainingBatch.cat(mine)
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


def test_a_prior_imagines_bodies_of_full_captions_that_the_prompt_says_nothing_of(folders, tmp_path, monkeypatch):
    t, b, told = task(folders), miniature.batch(), []
    b.full_captions = [f"{caption}, heavy" for caption in b.captions]
    torch.manual_seed(0)
    prior = fit_body_prior(torch.randn(40, 8), torch.randn(40, t.backbone.text_dim), [str(k) for k in range(40)])
    prior.save_pretrained(tmp_path)
    keep = BoLIDPipeline.generate
    monkeypatch.setattr(
        BoLIDPipeline, "generate", lambda self, *a, **k: told.append((a[:2], a[3])) or keep(self, *a, **k)
    )
    column = Column("prior", ["body"], prior=tmp_path, temperature=0.5)
    drawn = [t.draw(b, column), t.draw(b, column), t.draw(b, Column("body", ["body"]))]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    (prompts, embeds), seeds = told[0]
    assert prompts == b.captions
    for caption, code, seed in zip(b.full_captions, embeds["body"], seeds, strict=True):
        features = t.backbone.text_features([caption])
        torch.testing.assert_close(code, prior.sample(features, torch.Generator().manual_seed(seed), 0.5)[0])


@pytest.mark.parametrize("wrong", [{}, {"branches": ["face"]}, {"branches": ["body"], "other": True}])
def test_a_prior_without_a_body_branch_or_for_another_person_is_refused(wrong):
    with pytest.raises(BolidError, match="column imagined: a prior imagines bodies"):
        Column("imagined", prior=Path("prior"), **wrong)


def test_a_temperature_without_a_prior_is_refused():
    with pytest.raises(BolidError, match="column sharp: a temperature is that of a prior's bodies"):
        Column("sharp", ["body"], temperature=0.5)


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
    conditions = {"face": FaceCondition(), "body": BodyCondition(str(folders["body"]), num_tokens=3)}
    backbone = StableDiffusion(str(folders["sd"]))
    t = AdapterTask(backbone, conditions, columns=columns, sampling=Sampling(2, 2.0), metrics=[Darkness()])
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
