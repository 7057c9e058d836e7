import numpy as np
import pytest
import torch
from PIL import ImageFont

from bolid.evaluation.results import SheetRow
from bolid.evaluation.sheet import draw_sheet, wrap


def plain(red, green, blue, size=(96, 64)):
    return torch.tensor([red, green, blue])[:, None, None].expand(3, *size).contiguous()


def colours(image):
    """Share of the sheet's pixels that each plain colour covers."""
    pixels = np.asarray(image).reshape(-1, 3)
    values, counts = np.unique(pixels, axis=0, return_counts=True)
    return {tuple(v.tolist()): c / len(pixels) for v, c in zip(values, counts, strict=True)}


def test_every_picture_is_there_in_order_and_enlarged():
    row = SheetRow([plain(1.0, 0, 0)], {"text": plain(0, 1.0, 0), "both": plain(0, 0, 1.0)}, "a photo of a person")
    image = draw_sheet([row])
    found = colours(image)
    shares = [found[colour] for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    assert np.allclose(np.array(shares) * image.width * image.height, 288 * 192)
    middle = np.asarray(image)[image.height // 2]
    order = [tuple(p) for p in middle.tolist() if max(p) == 255 and sum(p) == 255]
    assert list(dict.fromkeys(order)) == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


@pytest.mark.parametrize("count", [0, 2, 3, 4])
def test_references_share_a_tile(count):
    row = SheetRow([plain(1.0, 0, 0)] * count, {"both": plain(0, 0, 1.0)}, "x")
    found = colours(draw_sheet([row]))
    assert found.get((255, 0, 0), 0) / found[0, 0, 255] == pytest.approx(count / 4, abs=0.06)  # less the gaps


def test_without_references_one_picture_a_person_stands_beside_the_next():
    rows = [SheetRow([], {"text": plain(0, 0, 1.0)}, f"a photo of person {k}") for k in range(10)]
    image = draw_sheet(rows)
    assert image.width == 8 * 192 + 7 * 10 + 2 * 24
    pixels = np.asarray(image)
    blue = (pixels == (0, 0, 255)).all(-1)
    assert blue.sum() == 10 * 288 * 192
    lines = np.flatnonzero(np.diff(blue.any(1).astype(int)) == 1)
    assert [blue[y + 1].sum() for y in lines] == [8 * 192, 2 * 192]


def test_without_references_there_is_no_column_for_them():
    row = SheetRow([], {"text": plain(0, 1.0, 0), "both": plain(0, 0, 1.0)}, "x")
    assert draw_sheet([row]).width == 2 * 192 + 10 + 2 * 24
    assert draw_sheet([row, SheetRow([plain(1.0, 0, 0)], row.images)]).width == 3 * 192 + 2 * 10 + 2 * 24


def test_large_pictures_stay_as_they_are():
    picture = torch.rand(3, 512, 340)
    image = np.asarray(draw_sheet([SheetRow([], {"both": picture})]))
    expected = (picture.permute(1, 2, 0) * 255).round().byte().numpy()
    corners = np.argwhere((image == expected[0, 0]).all(-1))
    assert any((image[y : y + 512, x : x + 340] == expected).all() for y, x in corners if y + 512 <= len(image))


def test_long_captions_make_the_sheet_taller_but_not_wider():
    short, long = (draw_sheet([SheetRow([], {"a": plain(0, 0, 1.0)}, "word " * n)]) for n in (3, 60))
    assert short.width == long.width
    assert long.height > short.height


def test_wrapping_keeps_every_letter_within_the_width():
    font = ImageFont.load_default(15)
    text = "a photo of a woman, " + "x" * 100 + " end"
    lines = wrap(text, 120, font)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(font.getlength(line) <= 120 for line in lines)
    assert wrap("", 120, font) == [""]
