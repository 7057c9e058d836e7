"""The watermark network: marks and backgrounds of its training, and a short training."""

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.bundle import backgrounds as scenes
from bolid.bundle import watermark
from bolid.bundle.backgrounds import SAMPLES, backgrounds, crop, made_up, samples, variant
from bolid.bundle.marks import mark
from bolid.bundle.stamps import KINDS, stamp
from bolid.core.errors import BolidError
from bolid.vision.watermark import WatermarkNetwork, described, load_watermark

GREY = np.full((256, 256, 3), 120, np.uint8)


@pytest.mark.parametrize("seed", range(40))
def test_a_mark_changes_pixels_by_as_much_as_it_says_and_no_others(seed):
    shown, change = mark(GREY, np.random.default_rng(seed), watermark.fonts(held=False))
    assert shown.dtype == np.uint8
    assert shown.shape == GREY.shape
    assert np.array_equal(np.abs(shown.astype(int) - 120).max(2), change.round())


def test_marks_are_of_many_kinds_and_follow_their_seed():
    made = [mark(GREY, np.random.default_rng(k), watermark.fonts(held=False))[1] for k in range(60)]
    again = mark(GREY, np.random.default_rng(7), watermark.fonts(held=False))[1]
    assert np.array_equal(again, made[7])
    covered = np.array([(change > 14).mean() for change in made])
    assert (covered > 0).mean() > 0.8
    assert covered.min() < 0.02
    assert covered.max() > 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_stamp_is_where_it_says(kind):
    picture = Image.fromarray(np.full((320, 400, 3), 120, np.uint8))
    shown, cover = stamp(picture, np.random.default_rng(1), watermark.fonts(held=True), kind)
    assert cover.shape == (320, 400)
    assert cover.max() > 0.5
    assert (np.asarray(shown) != 120).any(2)[cover > 0.5].all()


def test_held_out_fonts_are_others():
    held, known = ({p.name for p in watermark.fonts(h)} for h in (True, False))
    assert held
    assert known
    assert not held & known


@pytest.fixture
def few(monkeypatch):
    """Few made-up scenes, and few sample photographs."""
    monkeypatch.setattr(scenes, "MADE", 3)
    monkeypatch.setattr(scenes, "SAMPLES", ("astronaut", "coffee"))


def photographs(folder, count=16):
    for k in range(count):
        noise = np.random.default_rng(k).integers(0, 256, (12, 14, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((360, 320)).save(folder / f"{k:02}.png")
    return folder


def test_the_sample_photographs_are_there():
    assert len(samples()) == len(SAMPLES) + 3
    assert made_up(np.random.default_rng(0)).std() > 0


def test_backgrounds_are_split_and_small_ones_are_left_out(tmp_path, few):
    Image.new("RGB", (900, 200)).save(photographs(tmp_path) / "small.png")
    found = backgrounds(tmp_path)
    known, held = found.known["photographs"], found.held["photographs"]
    assert len(found.known["made"]) == 3
    assert "rendered" not in found.known
    assert not {p.tobytes() for p in known} & {p.tobytes() for p in held}
    assert all(min(p.shape[:2]) >= 300 for p in known + held)
    rng = np.random.default_rng(0)
    assert {crop(found.known, 128, rng).shape for _ in range(20)} == {(128, 128, 3)}
    assert all(min(variant(p, rng).shape[:2]) >= 200 for p in held)


def test_too_few_photos_are_refused(tmp_path):
    with pytest.raises(BolidError, match="0 photos are too few"):
        watermark.train_watermark(tmp_path)


def test_a_short_training_writes_a_network_that_states_its_accuracy(tmp_path, few, monkeypatch):
    monkeypatch.setattr(watermark, "SIZES", ((64, 2),))
    monkeypatch.setattr(watermark, "VARIANTS", 4)
    told = watermark.train_watermark(photographs(tmp_path), tmp_path / "out", minutes=0.01)
    assert "photographs: accuracy 0." in told
    assert "on 4 unmarked" in told
    network = str(tmp_path / "out")
    assert 0 <= load_watermark(network).score(GREY) <= 1
    assert described(network).startswith("BoLID's own small network, 0.")


def test_a_training_that_was_cut_off_goes_on_from_its_state(tmp_path):
    def new():
        network = WatermarkNetwork()
        return network, torch.optim.AdamW(network.parameters())

    (network, optimiser), file = new(), tmp_path / "fit.ckpt"
    assert watermark.resumed(network, optimiser, file) == (0, 0.0)
    watermark.loss_of(network, torch.rand(2, 3, 64, 64), torch.zeros(2, 4, 4)).backward()
    optimiser.step()
    watermark.keep(network, optimiser, file, 100, 12.5)
    again, its = new()
    assert watermark.resumed(again, its, file) == (100, 12.5)
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    assert len(its.state) == len(optimiser.state)
