"""The autoencoder's training: crops, the weights of person and head, the discriminator's part, and resumption."""

from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from bolid.bundle.adversary import Adversary, PatchDiscriminator, gradient_ratio
from bolid.bundle.autoencoder import AutoencoderSize, AutoencoderTask, AutoencoderWeights
from bolid.bundle.trapezoid import TrapezoidLR
from bolid.bundle.views import Crops, PhotoView, head_centres, head_discs, whole_view
from bolid.callbacks import EMA
from bolid.core.errors import BolidError
from tests import miniature
from tests.commands.quiet import quiet_trainer

LATE = Adversary(start=0.5, ramp=0.25, weight=0.5, channels=(8, 8))
CROPS = Crops((32, 24), until=0.75, head_share=0.5)


def new(**more):
    torch.manual_seed(0)
    return AutoencoderTask(AutoencoderSize((8, 8)), **more)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def heads(*centres, size=(192, 128)):
    """Keypoints of heads seen from the front, 10 pixels from ear to ear."""
    points = torch.zeros(len(centres), 17, 3)
    for k, (y, x) in enumerate(centres):
        for joint, (dx, dy) in enumerate([(0, 2), (2, -2), (-2, -2), (5, 0), (-5, 0)]):
            points[k, joint] = torch.tensor([x + dx, y + dy, 1.0])
    return head_discs(points, size)


def test_a_heads_disc_covers_it_and_there_is_none_without_two_of_its_points():
    found = heads((40.0, 60.0))
    assert found.sum() == pytest.approx(torch.pi * 9**2, rel=0.03)
    torch.testing.assert_close(head_centres(found), torch.tensor([[39.6, 60.0]]), atol=0.3, rtol=0)
    points = torch.zeros(1, 17, 3)
    points[0, 0] = torch.tensor([60.0, 40.0, 1.0])
    points[0, 5:, 2] = 1
    assert head_discs(points, (192, 128)).sum() == 0


def test_crops_lie_anywhere_or_around_heads_and_never_beyond_the_photo():
    centres = [(30.0, 60.0), (100.0, 20.0)] * 500
    crops, found = Crops(head_share=0.0), heads(*centres)
    tops, lefts = crops.places(found, generator()).T
    assert (tops.min(), tops.max(), lefts.min(), lefts.max()) == (0, 96, 0, 32)
    assert tops.float().mean() == pytest.approx(48, abs=3)
    tops, lefts = replace(crops, head_share=1.0).places(found, generator()).T
    assert tops[::2].max() < 30 - 24  # the head lies in the crop's inner half, where the photo's edge allows
    assert (tops[1::2].min(), tops[1::2].max()) == pytest.approx((100 - 72, 100 - 24), abs=1)
    assert lefts[1::2].max() == 0
    nowhere = replace(crops, head_share=1.0).places(torch.zeros_like(found), generator())
    assert nowhere[:, 0].float().mean() == pytest.approx(48, abs=3)


def test_a_crop_cuts_photo_person_and_head_alike():
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(32.0), indexing="ij")
    photos = torch.stack([rows, columns, rows])[None].repeat(5, 1, 1, 1)
    view = CROPS.cut(PhotoView(photos, photos[:, :1], photos[:, 1:2]), generator())
    assert view.photos.shape == (5, 3, 32, 24)
    assert torch.equal(view.photos[:, :1], view.person)
    assert torch.equal(view.photos[:, 1:2], view.head)
    assert len(set(view.photos[:, 0, 0, 0].tolist())) > 1
    assert torch.equal(view.photos[:, 0].diff(dim=1), torch.ones(5, 31, 24))
    with pytest.raises(BolidError, match=r"crops of \(96, 96\) do not fit photos of \(48, 32\)"):
        Crops().cut(whole_view(miniature.batch()), generator())


def test_crops_end_with_the_last_tenth_and_evaluation_sees_photos_whole(monkeypatch):
    task, batch = new(crops=CROPS), miniature.batch()
    for progress, size in ((0.0, (32, 24)), (0.74, (32, 24)), (0.75, (48, 32))):
        monkeypatch.setattr(AutoencoderTask, "progress", progress)
        assert task.view(batch, generator()).photos.shape[-2:] == size
        assert task.view(batch, None).photos.shape[-2:] == (48, 32)


def test_person_and_head_weigh_more_and_edges_count():
    photos, person, head = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    person[..., :4], head[..., :2] = 1, 1
    view = PhotoView(photos, person, head)

    def loss(columns, **weights):
        images = photos.clone()
        images[..., columns] = 0.5
        return new(weights=AutoencoderWeights(**weights)).reconstruction(images, view).item()

    pixel = 0.5 + 0.5 * 0.25
    mean = (64 + 2 * 32 + 3 * 16) / 64  # of the weights
    assert loss(slice(0, 2), person=2.0, head=3.0) == pytest.approx(pixel * 6 * 16 / 64 / mean)
    assert loss(slice(2, 4), person=2.0, head=3.0) == pytest.approx(pixel * 3 * 16 / 64 / mean)
    assert loss(slice(4, 8), person=2.0, head=3.0) == pytest.approx(pixel * 32 / 64 / mean)
    plain = loss(slice(4, 8), person=0.0)
    assert loss(slice(4, 8), person=0.0, edges=1.0) == pytest.approx(plain + 0.5 / 7)  # one edge of seven differs


def test_what_fools_teaches_the_images_and_what_tells_apart_the_discriminator():
    torch.manual_seed(0)
    critic, photos = PatchDiscriminator((8, 8)), torch.randn(2, 3, 32, 24)
    images = torch.randn(2, 3, 32, 24, requires_grad=True)
    critic.fooled(images).backward()
    assert images.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in critic.parameters())
    images.grad = None
    critic.hinge(photos, images).backward()
    assert images.grad is None
    assert all(weight.grad is not None for weight in critic.parameters())


def test_a_discriminator_learns_to_tell_photos_from_images():
    torch.manual_seed(0)
    critic = PatchDiscriminator((8, 8))
    optimizer = torch.optim.AdamW(critic.parameters(), 1e-2)
    photos, images = torch.randn(4, 3, 32, 24), 0.3 * torch.randn(4, 3, 32, 24)
    for _ in range(30):
        optimizer.zero_grad()
        critic.hinge(photos, images).backward()
        optimizer.step()
    assert critic(photos).mean() > critic(images).mean() + 1


def test_gradients_are_compared_at_one_weight():
    weight = torch.ones(3, requires_grad=True)
    assert gradient_ratio((6 * weight).sum(), (2 * weight).sum(), weight).item() == pytest.approx(3)
    assert gradient_ratio((6 * weight).sum(), (0 * weight).sum(), weight).item() == 1e4


def batches(steps):
    return DataLoader([miniature.batch(seed=seed) for seed in range(steps)], batch_size=None)


def test_the_discriminator_has_a_say_only_late(tmp_path):
    task = new(adversary=LATE)
    before = [weight.clone() for weight in task.discriminator.parameters()]
    quiet_trainer(tmp_path, max_steps=8, max_epochs=1).fit(task, batches(4))
    quiet = [torch.equal(a, b) for a, b in zip(before, task.discriminator.parameters(), strict=True)]
    assert all(quiet)  # four of eight steps
    quiet_trainer(tmp_path, max_steps=8, max_epochs=1).fit(task, batches(8))
    assert not any(torch.equal(a, b) for a, b in zip(before, task.discriminator.parameters(), strict=True))
    assert [LATE.weight_at(p) for p in (0.0, 0.5, 0.625, 0.75, 1.0)] == pytest.approx([0, 0, 0.25, 0.5, 0.5])


def test_the_adversarial_term_changes_what_the_autoencoder_learns(monkeypatch):
    monkeypatch.setattr(AutoencoderTask, "progress", 1.0)
    gradients = {}
    for weight in (0.0, 0.5):
        task = new(adversary=replace(LATE, weight=weight))
        task.loss(miniature.batch(), generator())[0].backward()
        gradients[weight] = task.vae.decoder.conv_out.weight.grad
    change = (gradients[0.5] - gradients[0.0]).norm()
    assert 0.2 < change / gradients[0.0].norm() < 0.8  # about half, as asked for


def test_the_rate_rises_stays_and_falls_and_a_resumed_fit_may_be_longer():
    weight = torch.nn.Parameter(torch.zeros(1))

    def rates(schedule, optimizer, steps):
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    def make(total):
        optimizer = torch.optim.SGD([weight], lr=2.0)
        return TrapezoidLR(optimizer, total, warmup=2, hold=0.5), optimizer

    schedule, optimizer = make(10)
    assert rates(schedule, optimizer, 5) == pytest.approx([1, 2, 2, 2, 2])
    longer, other = make(20)
    longer.load_state_dict(schedule.state_dict())
    other.load_state_dict(optimizer.state_dict())
    assert rates(schedule, optimizer, 5) == pytest.approx([2, 1.6, 1.2, 0.8, 0.4])
    assert rates(longer, other, 7) == pytest.approx([2, 2, 2, 2, 2, 2, 1.8])


def test_a_resumed_fit_ends_with_the_same_weights(tmp_path):
    def fit(folder, resume=None):
        def scheduler(optimizer):
            return TrapezoidLR(optimizer, 8, warmup=2)

        task = new(crops=CROPS, adversary=LATE, scheduler=scheduler)
        saver = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
        trainer = quiet_trainer(folder, max_steps=8, enable_checkpointing=True, callbacks=[EMA(0.9), saver])
        data = DataLoader([miniature.batch()] * 8, batch_size=None)  # where a resumed loader stands is tested elsewhere
        trainer.fit(task, data, ckpt_path=resume)
        return torch.load(folder / "step=8.ckpt", weights_only=True)

    whole = fit(tmp_path / "whole")
    resumed = fit(tmp_path / "parts", tmp_path / "whole" / "step=5.ckpt")  # the discriminator has begun
    for ours, theirs in ((whole, resumed), (whole["ema"], resumed["ema"])):
        for part in ("state_dict", "raw"):
            for name, value in ours.get(part, {}).items():
                torch.testing.assert_close(value, theirs[part][name], atol=0, rtol=0)


def test_a_validation_scores_round_trips_and_shows_them(tmp_path):
    task = new()
    trainer = quiet_trainer(tmp_path)
    trainer.fit(task, batches(2), batches(6))
    names = {name for name in trainer.callback_metrics if name.startswith("val/")}
    assert {"val/psnr", "val/psnr/head", "val/sharpness"} <= names
    rows = task.sample_grid()
    assert [len(row.images) for row in rows] == [8, 8, 8, 8]
    first = rows[0].images["photo 0"]
    torch.testing.assert_close(first, miniature.batch(seed=0).pictures[0] / 2 + 0.5)
    assert not torch.equal(rows[0].images["round trip 0"], first)
