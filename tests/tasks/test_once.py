"""What is made of a photo is made once, of each of its views."""

import torch

from bolid.tasks.once import OncePerPhoto
from tests import miniature


def test_each_view_is_made_once_and_a_mirrored_photo_is_another_view():
    calls, once, b = [], OncePerPhoto(), miniature.batch()

    def make(photos):
        calls.append(len(photos))
        return photos[:, 0]

    assert torch.equal(once.of(b, make), b.pictures[:, 0])
    mirrored = miniature.batch()
    mirrored.pictures[1:3] = mirrored.pictures[1:3].flip(-1)
    for _ in range(2):
        assert torch.equal(once.of(mirrored, make), mirrored.pictures[:, 0])
        assert torch.equal(once.of(b, make), b.pictures[:, 0])
    assert calls == [4, 2]


def test_the_same_view_twice_in_a_batch_is_made_once():
    calls, once, b = [], OncePerPhoto(), miniature.batch().take(torch.tensor([0, 1, 0]))
    found = once.of(b, lambda photos: calls.append(len(photos)) or photos.mean((1, 2, 3)))
    assert calls == [2]
    torch.testing.assert_close(found, b.pictures.mean((1, 2, 3)))
