"""The watermark network that is shipped, on rendered people marked by code that its training does not use."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bolid.core.photos import open_photo
from bolid.synthetic.people import render_people
from bolid.vision.watermark import load_watermark


def written(photo, kind, text):
    """A photo with text over it, by Pillow alone and in the font that it holds itself."""
    side, layer = min(photo.size), Image.new("RGBA", photo.size)
    draw = ImageDraw.Draw(layer)
    if kind == "corner":
        font = ImageFont.load_default(side * 0.06)
        draw.text((photo.width * 0.97, photo.height * 0.97), text, (255, 255, 255, 170), font, "rs", stroke_width=1)
    elif kind == "across":
        draw.text(
            (photo.width / 2, photo.height / 2), text, (255, 255, 255, 110), ImageFont.load_default(side / 9), "mm"
        )
        layer = layer.rotate(30)
    else:
        for y in range(0, photo.height, side // 6):
            for x in range(0, photo.width, side // 2):
                draw.text((x, y), text, (20, 20, 20, 110), ImageFont.load_default(side * 0.05))
    return Image.alpha_composite(photo.convert("RGBA"), layer).convert("RGB")


def test_the_shipped_network_tells_marked_rendered_people_from_unmarked_ones(tmp_path):
    render_people(tmp_path, range(900_400, 900_406), 2, 512, 512, "test", workers=1)
    photos = [open_photo(path) for path in sorted((tmp_path / "test").glob("*.png"))]
    network = load_watermark("data/tiny/watermark")
    unmarked = [network.score(np.asarray(photo)) for photo in photos]
    kinds = ["corner", "across", "tiled"] * 4
    marked = [network.score(np.asarray(written(*pair, "somepage.example"))) for pair in zip(photos, kinds, strict=True)]
    assert len(photos) == 12
    assert sum(score >= 0.5 for score in unmarked) <= 1, unmarked
    assert sum(score >= 0.5 for score in marked) >= 11, marked
