"""What a test generates and measures, on random miniatures: methods, metrics, gaps, ranks."""

import json
import os
from zlib import crc32

import pytest
import torch
from diffusers import UniPCMultistepScheduler
from lightning.pytorch import Callback
from torch.utils.data import DataLoader
from torchmetrics.utilities import dim_zero_cat

from bolid.callbacks.report import WriteReport
from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.evaluation.evaluator import Evaluator
from bolid.evaluation.statistics import body_gaps, comparisons, guidance_notes
from bolid.methods import Adapter, Prior, Reconstruction, ShuffledIdentity, TextOnly
from bolid.metrics.base import Description, ImageMetric, numbered
from bolid.metrics.interval import PersonScores
from bolid.models.backbones import StableDiffusion
from bolid.tasks.adapter import AdapterTask
from tests import miniature
from tests.commands.quiet import quiet_trainer as trainer
from tests.tasks.adapters import batches, evaluation, methods, save_models, task


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_models(tmp_path_factory.mktemp("models"))


class Brightness(ImageMetric):
    """The mean of the images."""

    describes = {"brightness": Description("mean of the images, 0 to 1")}
    computed = 0

    def __init__(self):
        super().__init__()
        self.add_rows("means", dtype=torch.float64)
        self.add_rows("people", dtype=torch.int64)

    def update(self, images, batch):
        self.means.append(images.mean((1, 2, 3)).double())
        self.people.append(numbered(batch.identities))

    def compute(self):
        return {"brightness": dim_zero_cat(self.means).mean()}

    def person_scores(self):
        type(self).computed += 1
        with self.sync_context():
            return {"brightness": PersonScores(dim_zero_cat(self.means), dim_zero_cat(self.people))}


class Darkness(Brightness):
    """Takes how dark images are for errors of body shape, each image's own."""

    describes = {"body_shape_error": Description("darkness", "lower")}

    def compute(self):
        return {"body_shape_error": (1 - dim_zero_cat(self.means)).square().mean().sqrt()}

    def person_scores(self):
        with self.sync_context():
            squares = (1 - dim_zero_cat(self.means)).square()
            return {"body_shape_error": PersonScores(squares, dim_zero_cat(self.people), root=True)}


BRIGHT = {"brightness": Brightness()}


def test_each_prompt_is_generated_as_often_as_asked_for_from_noise_of_its_own(folders, tmp_path):
    t, b = task(folders, metrics=BRIGHT, sampling={"images_per_prompt": 2}), miniature.batch()
    first, second = (t.evaluator.generate("text", b, number) for number in (0, 1))
    assert torch.equal(first, t.evaluator.generate("text", b))
    assert not any(torch.equal(x, y) for x in first for y in second)
    trainer(tmp_path).test(t, DataLoader([b], batch_size=None), verbose=False)
    report = t.report()
    assert report.pictures == 2 * len(b)
    both = torch.cat([first, second]).double().mean()
    assert report.metrics["brightness/text"] == pytest.approx(float(both))
    assert torch.equal(report.rows[0].images["text"], first[0])
    assert report.descriptions["brightness"].text == "mean of the images, 0 to 1"


def test_a_test_may_sample_by_another_scheduler_of_diffusers(folders):
    b = miniature.batch()
    text = task(folders).evaluator.generate("text", b)
    other = task(folders, sampling={"scheduler": "UniPCMultistepScheduler"})
    stock = UniPCMultistepScheduler.from_config(StableDiffusion(str(folders["sd"])).pipeline.scheduler.config)
    assert other.backbone.pipeline.scheduler.config == stock.config
    assert not torch.equal(other.evaluator.generate("text", b), text)
    with pytest.raises(BolidError, match=r"no scheduler 'Euler'.*DDIMScheduler, .*UniPC"):
        task(folders, sampling={"scheduler": "Euler"})


def test_without_conditions_the_stock_model_is_measured(folders, tmp_path):
    alone = AdapterTask(StableDiffusion(str(folders["sd"])), {}, evaluation=evaluation({}, BRIGHT))
    b = miniature.batch()
    stock = StableDiffusion(str(folders["sd"])).pipeline(
        b.captions, num_inference_steps=2, guidance_scale=2.0, height=b.pictures.shape[-2], width=b.pictures.shape[-1],
        generator=[torch.Generator().manual_seed(crc32(name.encode())) for name in b.file_names], output_type="pt",
    ).images  # fmt: skip
    assert torch.equal(alone.evaluator.generate("text", b), stock)
    trainer(tmp_path).test(alone, DataLoader([b], batch_size=None), verbose=False)
    assert alone.report().metrics["brightness/text"] == pytest.approx(float(stock.double().mean()))


@pytest.mark.parametrize(
    ("chosen", "metrics", "complaint"),
    [
        ({"mine": Adapter(["bdoy"])}, {}, "no condition is called bdoy; there are face, body"),
        ({"a.b": TextOnly()}, {}, "methods: 'a.b' cannot be a name"),
        ({"low": TextOnly()}, {}, "'low' is part of other numbers' names"),
        ({}, {"a/b": Brightness()}, "metrics: 'a/b' cannot be a name"),
    ],
)
def test_names_that_cannot_be_are_refused_when_the_task_is_made(folders, chosen, metrics, complaint):
    with pytest.raises(BolidError, match=complaint):
        task(folders, chosen=chosen, metrics=metrics)


def test_two_metrics_of_one_class_both_keep_their_numbers(folders, tmp_path):
    t = task(folders, chosen={"text": TextOnly()}, metrics={"one": Brightness(), "two": Brightness(), "none": None})
    trainer(tmp_path).test(t, batches(1), verbose=False)
    found = t.report().metrics
    assert found["brightness/one/text"] == found["brightness/two/text"]
    assert "brightness/text" not in found


class Half(Brightness):
    """Numbers of another size, without intervals."""

    def compute(self):
        return {"brightness": super().compute()["brightness"] / 2}

    def person_scores(self):
        return {}


def test_an_interval_stands_beside_its_own_metrics_number(folders, tmp_path):
    t = task(folders, chosen={"text": TextOnly()}, metrics={"dim": Half(), "whole": Brightness()})
    trainer(tmp_path).test(t, batches(1), verbose=False)
    found = t.report().metrics
    assert found["brightness/dim/text"] == pytest.approx(found["brightness/whole/text"] / 2)
    bounds = {name for name in found if name.startswith("brightness")} - {
        "brightness/dim/text",
        "brightness/whole/text",
    }
    assert bounds
    assert all("whole" in name for name in bounds)


def test_a_report_is_computed_once(folders, tmp_path):
    Brightness.computed = 0
    t = task(folders, chosen={"text": TextOnly(), "face": Adapter(["face"])}, metrics=BRIGHT)
    run = trainer(tmp_path, callbacks=[WriteReport()])
    run.test(t, batches(1), verbose=False)
    t.report()
    assert Brightness.computed == 2  # once per method
    run.test(t, batches(1), verbose=False)
    assert Brightness.computed == 4


def test_a_test_of_one_person_is_refused_before_anything_is_generated(folders, tmp_path, monkeypatch):
    t = task(folders)
    monkeypatch.setattr(t.backbone.unet, "forward", None)  # calling it would fail
    with pytest.raises(BolidError, match="needs two people, and the test has only p0: add people"):
        trainer(tmp_path).test(t, DataLoader([miniature.batch(1)] * 2, batch_size=None), verbose=False)
    with pytest.raises(BolidError, match="needs two people"):
        trainer(tmp_path).predict(t, DataLoader([miniature.batch(1)] * 2, batch_size=None))


def test_batches_of_one_are_tested_where_there_is_another_person(folders, tmp_path):
    t, both = task(folders, metrics=BRIGHT), miniature.batch(2)
    trainer(tmp_path).test(t, DataLoader([both[:1], both[1:]], batch_size=None), verbose=False)
    assert t.report().pictures == 2


def test_the_sample_grid_gathers_people_and_does_without_a_shuffled_identity_if_there_is_one(folders, tmp_path):
    t, both = task(folders), miniature.batch(2)
    trainer(tmp_path).validate(t, DataLoader([both[:1], both[1:]], batch_size=None), verbose=False)
    assert [list(row.images) for row in t.sample_grid()] == [["text", "face", "both", "other"]] * 2
    trainer(tmp_path).validate(t, DataLoader([both[:1]], batch_size=None), verbose=False)
    assert [list(row.images) for row in t.sample_grid()] == [["text", "face", "both"]]


class Grid(Callback):
    """Keeps the sample grid of three photos that are dealt out to the ranks."""

    def on_test_end(self, trainer, pl_module):
        photos = miniature.batch(3)
        mine = [photos[k : k + 1] for k in range(trainer.global_rank, 3, trainer.world_size)]
        pl_module.first.add(TrainingBatch.cat(mine), 0)
        rows = pl_module.sample_grid()
        if trainer.is_global_zero:
            torch.save([row.images | {"caption": row.caption} for row in rows], f"{trainer.default_root_dir}/grid.pt")


def measured(folders, folder, **more):
    t = task(folders, metrics=BRIGHT)
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


def test_methods_are_compared_with_text_and_with_a_shuffled_identity_that_uses_no_more():
    pairs = [("face", "text"), ("both", "text"), ("both", "other")]
    assert comparisons(methods()) == pairs
    assert comparisons({"best": Reconstruction(), **methods()}) == pairs


def test_methods_that_are_guided_by_different_rules_are_not_compared_in_silence(tmp_path):
    assert guidance_notes(methods() | {"prior": Prior(tmp_path)}) == []
    mixed = {"text": TextOnly(), "old": Adapter(["body"], negative_body=True), "new": Adapter(["body"])}
    assert guidance_notes(mixed) == [
        "Guidance of old uses −c_body as the negative condition (`negative_body`), that of new zeros: do not "
        "compare them."
    ]
    both = {"old": Adapter(["body"], negative_body=True)}
    both["other"] = ShuffledIdentity(both["old"])
    assert guidance_notes(both) == ["Guidance of old, other uses −c_body as the negative condition (`negative_body`)."]


def test_a_test_says_how_much_of_the_gap_between_text_and_reconstruction_each_method_closes(folders, tmp_path):
    chosen = {"best": Reconstruction(), **methods()}
    t = task(folders, chosen=chosen, metrics={"darkness": Darkness()})
    trainer(tmp_path).test(t, batches(2), verbose=False)
    report = t.report().metrics
    error = {name: report[f"body_shape_error/{name}"] for name in chosen}
    gap = error["text"] - error["best"]
    assert abs(gap) > 0.01
    for name in ("face", "both", "other"):
        closed = f"body_gap_closed/{name}"
        assert report[closed] == pytest.approx((error["text"] - error[name]) / gap, abs=1e-6)
        assert report[f"{closed}/low"] <= report[closed] <= report[f"{closed}/high"]
    assert not any(name.startswith(("body_gap_closed/text", "body_gap_closed/best")) for name in report)
    assert not any("best" in name.partition("-")[2] for name in report)  # nothing is compared with the reconstruction
    scores = {name: metrics["darkness"].person_scores() for name, metrics in t.evaluator.scores.items()}
    for without in ("best", "text"):
        assert body_gaps(scores, {k: m for k, m in chosen.items() if k != without}) == {}
    assert body_gaps({name: {} for name in chosen}, chosen) == {}
    assert body_gaps(scores | {"best": scores["text"]}, chosen) == {}


def test_the_networks_under_test_are_no_part_of_the_evaluator(folders):
    t = task(folders, metrics=BRIGHT)
    assert isinstance(t.evaluator, Evaluator)
    assert not [name for name, _ in t.evaluator.named_parameters()]
    assert not t.evaluator.state_dict()


@pytest.fixture
def half_the_threads(monkeypatch):
    """As many as Lightning gives each of two ranks; another number changes a sum's last bit."""
    before, half = torch.get_num_threads(), max(1, (os.cpu_count() or 1) // 2)
    monkeypatch.setenv("OMP_NUM_THREADS", str(half))  # the ranks'; Lightning leaves it alone where it is set
    torch.set_num_threads(half)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_two_ranks_report_the_values_of_one_and_generate_its_sample_grid(folders, tmp_path, half_the_threads):
    one = measured(folders, tmp_path / "one")[-1]
    two = measured(folders, tmp_path / "two", devices=2, strategy="ddp_spawn")[-1]
    assert two == pytest.approx(one)
    assert one["brightness/both/low"] < one["brightness/both"] < one["brightness/both/high"]
    assert one["brightness/both-text"] == pytest.approx(one["brightness/both"] - one["brightness/text"])
    alone, shared = (torch.load(tmp_path / name / "grid.pt", weights_only=True) for name in ("one", "two"))
    assert [list(row) for row in alone] == [[*methods(), "caption"]] * 3
    assert [row.pop("caption") for row in alone] == [row.pop("caption") for row in shared]
    assert all(torch.equal(x[name], y[name]) for x, y in zip(alone, shared, strict=True) for name in x)
