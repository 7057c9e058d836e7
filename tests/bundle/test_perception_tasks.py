"""The judges' tasks: what they are shown, what they learn from it, and what a test says of the exported network."""

import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bolid.bundle.anthropometer import AnthropometerTask, moved_joints, spot_loss
from bolid.bundle.attributes import AttributesTask
from bolid.bundle.perception import Degradation, moved
from bolid.callbacks import WriteReport
from bolid.core import keypoints
from bolid.core.errors import BolidError
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.readers.anthropometer import AnthropometerNetwork
from bolid.synthetic.readers.attributes import AttributeNetwork
from bolid.synthetic.readers.readers import Anthropometer, EmbeddedAttributes
from bolid.synthetic.wording import ATTRIBUTES, attributes, shows_figure
from tests import miniature
from tests.commands.quiet import quiet_trainer as trainer

PEOPLE_SEEN = 4


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return miniature.save_sd(tmp_path_factory.mktemp("models") / "sd") / "vae"


@pytest.fixture
def new(vae):
    """Makes a task by its kind."""

    def make(kind, **more):
        torch.manual_seed(0)
        if kind == "attributes":
            return AttributesTask(AttributeNetwork(miniature.SIZE, (8, 8), 16), vae=vae, **more)
        return AnthropometerTask(AnthropometerNetwork(miniature.SIZE, (8, 8, 16), 8, 16), vae=vae, **more)

    return make


def batch(seed=0):
    made = miniature.batch(PEOPLE_SEEN, seed=seed)
    tails = ["full length, facing the camera", "full length, in profile", "close-up portrait, in three-quarter view"]
    asks(made, [f"{c}, {tails[i % 3]}" for i, c in enumerate(made.captions)])
    made.references.proportions = truth()
    made.file_names = [f"{seed}_{name}" for name in made.file_names]
    return made


def asks(made, captions):
    """Full captions, and what they say."""
    made.full_captions = captions
    made.full_asked = [attributes(caption) for caption in captions]
    made.whole_figure = torch.tensor([shows_figure(caption) for caption in captions])


def truth():
    return torch.randn(PEOPLE_SEEN, len(RATIOS), generator=torch.Generator().manual_seed(5))


def fit(task, folder, **more):
    made = trainer(folder, **more)
    data = DataLoader([batch(seed) for seed in range(2)], batch_size=None)
    made.fit(task, data, data)
    return made


KINDS = ["attributes", "anthropometer"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_fit_moves_what_is_trained_and_a_checkpoint_brings_it_back(new, tmp_path, kind):
    task = new(kind)
    before = {n: v.clone() for n, v in task.state_dict().items()}
    made = fit(task, tmp_path)
    after = task.state_dict()
    assert set(after) == task.trained_keys()  # the autoencoder is no part of it
    assert sum(not torch.equal(v, before[n]) for n, v in after.items()) > 0.9 * len(after)
    assert any(name.startswith("val/") and value.isfinite() for name, value in made.callback_metrics.items())
    made.save_checkpoint(tmp_path / "x.ckpt")
    again = new(kind)
    again.load_state_dict(torch.load(tmp_path / "x.ckpt", weights_only=True)["state_dict"])
    assert all(torch.equal(v, after[n]) for n, v in again.state_dict().items())


@pytest.mark.parametrize("kind", KINDS)
def test_fitting_one_batch_lowers_its_loss(new, kind):
    task, b = new(kind), batch()
    still, unmoved = torch.zeros(PEOPLE_SEEN).bool(), torch.zeros(PEOPLE_SEEN, 2)

    def loss():
        seen = task.network(b.pictures)
        return task.loss(seen, b) if kind == "attributes" else sum(task.losses(seen, b, still, unmoved).values())

    optimizer, losses = torch.optim.AdamW(task.network.parameters(), 3e-3), []
    for _ in range(20):
        losses.append(loss())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert min(losses[-2:]) < 0.9 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_is_what_the_exported_network_scores_raw_and_through_the_autoencoder(new, tmp_path, vae, kind):
    task = new(kind)
    fit(task, tmp_path)
    task.export(tmp_path / "exported")
    batches = [batch(seed) for seed in range(3)]
    trainer(tmp_path, callbacks=[WriteReport()]).test(task, DataLoader(batches, batch_size=None))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["pictures"] == 3 * PEOPLE_SEEN
    photos = torch.cat([b.pictures for b in batches])
    network = AutoencoderKL.from_pretrained(str(vae)).eval()
    with torch.no_grad():
        trips = network.decode(network.encode(photos).latent_dist.mode()).sample.clamp(-1, 1)
    trips = ((trips + 1) * 127.5).round() / 255
    captions = [caption for b in batches for caption in b.full_captions]
    for pictures, mark in ((trips, ""), ((photos + 1) / 2, "/raw")):
        if kind == "attributes":
            found = EmbeddedAttributes(tmp_path / "exported").read(pictures)["gender"]
            asked = torch.tensor([ATTRIBUTES["gender"].index("woman" if "woman" in c else "man") for c in captions])
            assert report[f"adherence/gender{mark}"] == pytest.approx((found == asked).float().mean().item())
        else:
            reader, rows = (
                Anthropometer(tmp_path / "exported"),
                [i for i, c in enumerate(captions) if "full" in c and "camera" in c],
            )
            true, read = truth()[[i % PEOPLE_SEEN for i in rows]], reader.read(pictures[rows])
            expected = 1 - (read - true).square().mean(0) / true.var(0, correction=0)
            assert report[f"r2_1/waist{mark}"] == pytest.approx(expected[RATIOS.index("waist")].item(), rel=1e-3)
            assert f"r2_8{mark}" not in report  # nobody has eight photos


def test_scores_do_not_depend_on_the_trainers_precision(new, tmp_path):
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        task = new("anthropometer")
        trainer(tmp_path, precision=precision).test(task, DataLoader([batch()], batch_size=None), verbose=False)
        found[precision] = task.report().metrics
    assert found["bf16-mixed"] == pytest.approx(found["32-true"], nan_ok=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_validation_says_what_a_test_on_the_same_photos_says(new, tmp_path, kind):
    task, b = new(kind), batch()
    asks(b, ["full length, facing the camera"] * PEOPLE_SEEN)
    found = {}
    for verb, prefix in (("validate", "val/"), ("test", "test/")):
        (numbers,) = getattr(trainer(tmp_path), verb)(task, DataLoader([b], batch_size=None), verbose=False)
        found[verb] = {name.removeprefix(prefix): value for name, value in numbers.items()}
    assert found["validate"] == pytest.approx(found["test"], nan_ok=True)
    assert any(name.endswith("/raw") for name in found["validate"])


def test_every_head_gets_a_gradient_though_no_caption_names_its_attribute(new):
    task, b = new("attributes"), batch()
    asks(b, ["a photo of a woman"] * PEOPLE_SEEN)
    task.loss(task.network(b.pictures), b).backward()
    gradients = {name: head.weight.grad for name, head in zip(ATTRIBUTES, task.network.heads, strict=True)}
    assert all(g is not None for g in gradients.values())
    assert {name for name, g in gradients.items() if g.any()} == {"gender"}


def test_each_photo_goes_through_the_autoencoder_once(new, monkeypatch):
    task, b, calls = new("attributes"), batch(), []
    network = task.vae.network
    encode = network.encode
    monkeypatch.setattr(network, "encode", lambda p: calls.append(len(p)) or encode(p))
    first, other = task.seen(b), batch(1)
    other.file_names[0], other.pictures[0] = b.file_names[0], b.pictures[0]
    assert torch.equal(task.seen(b), first)
    assert torch.equal(task.seen(other)[0], first[0])
    assert calls == [PEOPLE_SEEN, PEOPLE_SEEN - 1]
    with torch.no_grad():
        expected = network.decode(encode(b.pictures).latent_dist.mode()).sample.clamp(-1, 1)
    assert (first - expected).abs().max() <= 0.5 / 127.5 + 1e-5


def test_augmented_photos_are_mirrored_and_moved_as_told(new):
    """Without degradation, the joints lie on the same pixels of the augmented photo as before."""
    task, b = new("anthropometer", degradation=Degradation(raw=1.0, light=0.0, blur=0.0, noise=0.0, shift=0.1)), batch()
    ramps = torch.stack(torch.meshgrid(torch.arange(48) + 0.5, torch.arange(32) + 0.5, indexing="ij"))
    b.pictures = torch.cat([ramps, torch.zeros(1, 48, 32)]).expand(PEOPLE_SEEN, -1, -1, -1) / 24 - 1
    b.keypoints[..., :2] = torch.tensor([16.0, 24.0]) + torch.randn(PEOPLE_SEEN, 17, 2) * 3
    pictures, mirrored, move = task.augment(b, torch.Generator().manual_seed(1))
    assert mirrored.any()
    assert not mirrored.all()
    assert (move.abs() <= 0.1).all()
    places, _ = moved_joints(b, mirrored, move)
    read = F.grid_sample(pictures, 2 * places[:, :, None] - 1, align_corners=False)[..., 0]  # (B, 3, 17)
    order = list(keypoints.FLIP)
    for i in range(PEOPLE_SEEN):
        before = b.keypoints[i, order] if mirrored[i] else b.keypoints[i]
        found = (read[i, :2].T.flip(-1) + 1) * 24  # the ramps tell y, x of the photo as it was
        torch.testing.assert_close(found, before[:, :2], atol=0.02, rtol=0)


def test_degraded_photos_are_those_of_the_generator(new):
    task, b = new("attributes"), batch()
    one, two, other = (task.augment(b, torch.Generator().manual_seed(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert one.abs().max() <= 1


def test_moving_by_nothing_changes_nothing():
    pictures = torch.rand(2, 3, 12, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved(pictures, torch.zeros(2, 2)), pictures, atol=1e-5, rtol=0)
    right = moved(pictures, torch.tensor([[1 / 8, 0.0], [0.0, 1 / 12]]))
    torch.testing.assert_close(right[0, :, :, 1:], pictures[0, :, :, :-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(right[1, :, 1:], pictures[1, :, :-1], atol=1e-5, rtol=0)


def test_spots_are_compared_as_distributions():
    places = torch.tensor([[[0.3, 0.6], [0.5, 0.5]]])
    y, x = np.mgrid[0.5:6, 0.5:4]
    spots = [np.exp(-((x - px * 4) ** 2 + (y - py * 6) ** 2) / 2) for px, py in places[0].tolist()]
    spots = np.stack([s / s.sum() for s in spots])
    maps = torch.randn(1, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    found = np.exp(maps[0].numpy()) / np.exp(maps[0].numpy()).sum((1, 2), keepdims=True)
    expected = (spots * np.log(spots / found)).sum((1, 2))
    np.testing.assert_allclose(spot_loss(maps, places)[0].numpy(), expected, rtol=1e-4)
    perfect = torch.from_numpy(np.log(spots))[None].float() + 3
    assert spot_loss(perfect, places).abs().max() < 1e-5


def test_photos_without_a_figure_and_people_of_unknown_proportions_teach_no_proportions(new):
    task, b = new("anthropometer"), batch()

    def terms():
        return task.losses(task.network(b.pictures), b, torch.zeros(PEOPLE_SEEN).bool(), torch.zeros(PEOPLE_SEEN, 2))

    assert terms()["ratios"] > 0
    b.references.proportions[:] = torch.nan
    assert terms()["ratios"] == 0
    b.references.proportions = truth()
    asks(b, ["close-up portrait, facing the camera"] * PEOPLE_SEEN)
    assert terms()["ratios"] == 0
    assert terms()["joints"] > 0


def test_missing_and_foreign_weights_are_one_line(tmp_path, new):
    for kind, name in ((EmbeddedAttributes, "attributes"), (Anthropometer, "anthropometer")):
        with pytest.raises(BolidError, match=rf"nowhere.*configs/tiny/{name}\.yaml`; data/tiny/{name} is one\.$"):
            kind(tmp_path / "nowhere")
    few = AttributeNetwork(miniature.SIZE, (8, 8), 16, classes=(2,) * len(ATTRIBUTES))
    few.save_pretrained(tmp_path / "few")
    with pytest.raises(BolidError, match=r"knows \[2, 2"):
        EmbeddedAttributes(tmp_path / "few")
    new("attributes").export(tmp_path / "attributes")
    with pytest.raises(BolidError, match=r"no AnthropometerNetwork \(it differs"):
        Anthropometer(tmp_path / "attributes")


@pytest.mark.parametrize("kind", KINDS)
def test_a_mirror_image_reads_the_same(new, tmp_path, kind):
    task = new(kind)
    task.export(tmp_path / kind)
    pictures = torch.rand(4, 3, *miniature.SIZE)
    both = [task.network.eval()(p * 2 - 1) for p in (pictures, pictures.flip(-1))]
    if kind == "attributes":
        reader = EmbeddedAttributes(tmp_path / kind)
        read, mirrored = reader.read(pictures), reader.read(pictures.flip(-1))
        assert all(torch.equal(read[name], mirrored[name]) for name in read)
        sure = sum(logits["pose"].softmax(1).log() for logits in both)
        assert torch.equal(read["pose"], sure.argmax(1))
        shown = reader(pictures.requires_grad_())
        torch.testing.assert_close(shown, both[0])
        shown["pose"].sum().backward()
        assert pictures.grad.abs().sum() > 0
    else:
        reader = Anthropometer(tmp_path / kind)
        torch.testing.assert_close(reader.read(pictures), reader.read(pictures.flip(-1)))
        torch.testing.assert_close(reader.read(pictures), (both[0][0] + both[1][0]) / 2)


def test_pictures_of_another_size_are_scaled(tmp_path, new):
    new("attributes").export(tmp_path / "x")
    reader, pictures = EmbeddedAttributes(tmp_path / "x"), torch.rand(2, 3, 48, 32)
    large = F.interpolate(pictures, scale_factor=2.0)
    for name, read in reader.read(large).items():
        assert torch.equal(read, reader.read(F.interpolate(large, (48, 32), mode="bilinear", antialias=True))[name])
