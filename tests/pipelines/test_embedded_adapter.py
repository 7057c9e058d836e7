"""The embedded adapter, which `make table` trained: the bundle's networks are those that it was trained with."""

import torch

from bolid.core.identity import Embedding, Identity
from bolid.models.body_vae import body_vae_fingerprint
from bolid.pipelines import BoLIDPipeline
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.readers.readers import Anthropometer

PROMPT = "a photo of a woman, wearing a red shirt and blue trousers, standing, facing the camera, full length"


def test_it_draws_opposite_bodies_for_opposite_people():
    pipe, reads = BoLIDPipeline.from_pretrained("data/tiny/adapter"), Anthropometer("data/tiny/anthropometer")
    body = torch.randn(64, generator=torch.Generator().manual_seed(0))
    model = body_vae_fingerprint("data/tiny/body_vae")
    people = [Identity({"body": Embedding(code, model)}) for code in (body, -body)]

    def read(scale):
        seen = [
            pipe(PROMPT, p, num_inference_steps=10, guidance_scale=3.0, seed=s, scale=scale, output_type="pt").images
            for p in people
            for s in range(2)
        ]
        return reads.read(torch.cat(seen)).unflatten(0, (2, 2)).mean(1)  # (2, 7)

    told, off = read(1.0), read(0.0)
    assert torch.equal(off[0], off[1])
    assert (told[0] - told[1]).abs().max() > 1, dict(zip(RATIOS, (told[0] - told[1]).tolist(), strict=True))
