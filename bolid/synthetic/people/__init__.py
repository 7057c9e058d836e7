"""Rendered people: identities, poses, clothes, scenes and the photos and ground truth made of them."""

from bolid.synthetic.people.dataset import RENDERER_VERSION, render_people

__all__ = ["RENDERER_VERSION", "render_people"]
