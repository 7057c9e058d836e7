"""The embedded readers of images, and the networks they are made of."""

from bolid.synthetic.readers.readers import Anthropometer, EmbeddedAttributes

__all__ = ["Anthropometer", "EmbeddedAttributes"]
