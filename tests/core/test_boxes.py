import numpy as np
import torch

from bolid.core.boxes import silhouette_boxes


def test_silhouette_boxes_are_the_masks_bounding_boxes():
    rng, masks = np.random.default_rng(0), np.zeros((5, 1, 48, 32), np.float32)
    for mask in masks:
        (y0, y1), (x0, x1) = (np.sort(rng.choice(n, 2, replace=False)) for n in (48, 32))
        mask[0, y0 : y1 + 1, x0 : x1 + 1] = rng.random((y1 - y0 + 1, x1 - x0 + 1)) > 0.3
    masks[4] = 1
    for mask, box in zip(masks[:, 0], silhouette_boxes(torch.from_numpy(masks)).numpy(), strict=True):
        y, x = np.nonzero(mask)
        x0, x1, y0, y1 = x.min(), x.max() + 1, y.min(), y.max() + 1
        expected = [(x0 + x1) / 64, (y0 + y1) / 96, (x1 - x0) / 32, (y1 - y0) / 48]
        np.testing.assert_allclose(box, expected, atol=1e-6)
    assert silhouette_boxes(torch.zeros(1, 1, 8, 8)).tolist() == [[0.5, 0.5, 1, 1]]
