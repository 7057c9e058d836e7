import cv2
import numpy as np
import pytest

from bolid.core.errors import BolidError
from bolid.data.datamodule import IdentityDataModule
from bolid.data.nuisance import Nuisance, dead_leaves
from bolid.data.specs import ReferenceSpec, SplitSpec
from tests.data.fabricate import fabricate

H, W = 48, 32
ALL = {"background": 0.0, "recolour": 0.0, "jpeg": 0.0, "noise": 0.0}


def crop(seed=0):
    """A smooth picture whose middle is the person."""
    rng = np.random.default_rng(seed)
    pixels = np.broadcast_to(rng.integers(60, 200, (1, 1, 3)), (H, W, 3)).astype(np.uint8).copy()
    silhouette = np.zeros((H, W), np.uint8)
    silhouette[8:40, 8:24] = 255
    return pixels, silhouette


def test_nothing_changes_nothing():
    pixels, silhouette = crop()
    assert np.array_equal(Nuisance(**ALL).apply(pixels, silhouette, np.random.default_rng(0)), pixels)


def test_a_background_leaves_the_person_alone_and_another_colour_the_background():
    pixels, silhouette = crop()
    person = silhouette == 255
    around = Nuisance(**ALL | {"background": 1.0}).apply(pixels, silhouette, np.random.default_rng(0))
    assert np.array_equal(around[person], pixels[person])
    assert (around[~person] != pixels[~person]).any(-1).mean() > 0.9
    turned = Nuisance(**ALL | {"recolour": 1.0}).apply(pixels, silhouette, np.random.default_rng(0))
    assert np.array_equal(turned[~person], pixels[~person])
    assert (turned[person] != pixels[person]).any(-1).all()


def test_without_a_silhouette_the_background_stays():
    pixels, silhouette = crop()
    shown = Nuisance(**ALL | {"background": 1.0}).apply(pixels, silhouette * 0, np.random.default_rng(0))
    assert np.array_equal(shown, pixels)


def test_the_sensors_noise_is_at_most_as_strong_as_asked():
    grey = np.full((200, 200, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    spreads = [Nuisance(**ALL | {"noise": 10.0}).apply(grey, grey[..., 0], rng).std() for _ in range(40)]
    assert max(spreads) < 10.3
    assert np.mean(spreads) == pytest.approx(5, abs=1.5)


def test_jpeg_changes_little():
    pixels = cv2.GaussianBlur(dead_leaves(96, 64, np.random.default_rng(1)), (0, 0), 2).astype(np.uint8)
    shown = Nuisance(**ALL | {"jpeg": 1.0}).apply(pixels, pixels[..., 0], np.random.default_rng(0))
    error = np.abs(shown.astype(float) - pixels).mean()
    assert 0 < error < 8


def test_backgrounds_have_the_spectrum_of_photographs():
    """Photographs' power falls about as 1/f^2 (Field 1987): in a log-log plot a line of slope -2, give or take."""
    side = 128
    power = np.zeros((side, side))
    for seed in range(40):
        grey = dead_leaves(side, side, np.random.default_rng(seed)).mean(-1)
        power += np.abs(np.fft.fft2((grey - grey.mean()) * np.hanning(side)[:, None] * np.hanning(side))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    middle = (frequency > 0.03) & (frequency < 0.2)
    slope = np.polyfit(np.log(frequency[middle]), np.log(power[middle]), 1)[0]
    assert -4.5 < slope < -1.5


@pytest.mark.parametrize("wrong", [{"background": 1.5}, {"jpeg": -0.1}, {"noise": 300.0}])
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(BolidError, match=f"nuisance.{next(iter(wrong))} is"):
        Nuisance(**wrong)


def test_references_are_changed_in_training_alone_and_always_the_same_way(tmp_path):
    fabricate(tmp_path, {"train": 2, "val": 2}, photos=3, size=(24, 16))

    def batches(nuisance):
        train = SplitSpec(nuisance=nuisance, flip=0.0)
        module = IdentityDataModule(
            tmp_path, size=(24, 16), references=ReferenceSpec((24, 16)), train=train, batch_size=2
        )
        module.prepare_data()
        module.setup("fit")
        return next(iter(module.train_dataloader())), next(iter(module.val_dataloader()))

    plain, changed, again = batches(None), batches(Nuisance(noise=40.0)), batches(Nuisance(noise=40.0))
    assert not np.array_equal(plain[0].references.pictures, changed[0].references.pictures)
    assert np.array_equal(plain[0].pictures, changed[0].pictures)
    assert np.array_equal(changed[0].references.pictures, again[0].references.pictures)
    assert np.array_equal(plain[1].references.pictures, changed[1].references.pictures)


def test_nuisance_has_no_meaning_in_a_test(tmp_path):
    with pytest.raises(BolidError, match="nuisance has no meaning"):
        IdentityDataModule(tmp_path, test=SplitSpec(nuisance=Nuisance()))
