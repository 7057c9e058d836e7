"""The image sheet: one row per sample, with the references and one column per method."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bolid.core.pictures import to_image
from bolid.evaluation.results import SheetRow

TILE = 288  # minimum height of an image on the sheet in pixels; smaller ones are enlarged
GAP, MARGIN = 10, 24
HEADING, CAPTION, SMALL = 20, 15, 12  # font sizes
ACROSS = 8  # images per line of a gallery
INK, FAINT, PAPER = (25, 25, 25), (95, 95, 95), (255, 255, 255)
REFERENCES = "references"


def draw_sheet(rows: Sequence[SheetRow], title: str = "") -> Image.Image:
    """Draws the sheet: references | one column per method, with the prompts below the rows.

    Without any references their column is left out; rows of a single image are arranged as a gallery.

    Args:
        rows: At least one row; the headings are those of the first.
        title: Line above the sheet.
    """
    alone = not any(row.references for row in rows)
    if alone and len(rows[0].images) == 1:
        return _gallery(rows, title)
    headings = [*([] if alone else [REFERENCES]), *rows[0].images]
    tile = _tile_size(rows[0])
    width = len(headings) * tile[0] + (len(headings) - 1) * GAP
    strips = [_text_strip(title, width, HEADING + 4, INK)] if title else []
    strips.append(_heading_strip(headings, tile[0]))
    for row in rows:
        tiles = [] if alone else [_mosaic(row.references, tile)]
        tiles += [_to_tile(row.images.get(heading), tile) for heading in rows[0].images]
        caption = _text_strip(row.caption, width, CAPTION, FAINT)
        strips += [_beside(tiles), caption, Image.new("RGB", (1, GAP), PAPER)]
    return _framed(_below(strips))


def _gallery(rows: Sequence[SheetRow], title: str) -> Image.Image:
    """A grid of images, `ACROSS` per line, each with its prompt below."""
    tile = _tile_size(rows[0])
    cells = [
        _below([_to_tile(next(iter(row.images.values())), tile), _text_strip(row.caption, tile[0], SMALL, FAINT)])
        for row in rows
    ]
    lines = [_beside(cells[start : start + ACROSS]) for start in range(0, len(cells), ACROSS)]
    strips = [_text_strip(title, lines[0].width, HEADING + 4, INK)] if title else []
    return _framed(_below([*strips, *lines]))


def _tile_size(row: SheetRow) -> tuple[int, int]:
    height, width = next(iter(row.images.values())).shape[-2:] if row.images else row.references[0].shape[-2:]
    tall = max(TILE, height)
    return round(width * tall / height), tall


def _to_tile(picture: Tensor | None, tile: tuple[int, int]) -> Image.Image:
    """Fits an image into a tile, centred on white."""
    canvas = Image.new("RGB", tile, PAPER)
    if picture is None:
        return canvas
    image = to_image(picture)
    ratio = min(tile[0] / image.width, tile[1] / image.height)
    image = image.resize((round(image.width * ratio), round(image.height * ratio)), Image.Resampling.LANCZOS)
    canvas.paste(image, ((tile[0] - image.width) // 2, (tile[1] - image.height) // 2))
    return canvas


def _mosaic(pictures: Sequence[Tensor], tile: tuple[int, int]) -> Image.Image:
    """All references of a person in the space of one tile."""
    across = ceil(len(pictures) ** 0.5) or 1
    gap = GAP // 2 if across > 1 else 0
    cell = (tile[0] - gap * (across - 1)) // across, (tile[1] - gap * (across - 1)) // across
    canvas = Image.new("RGB", tile, PAPER)
    for index, picture in enumerate(pictures):
        column, line = index % across, index // across
        canvas.paste(_to_tile(picture, cell), (column * (cell[0] + gap), line * (cell[1] + gap)))
    return canvas


def _heading_strip(headings: Sequence[str], width: int) -> Image.Image:
    return _beside([_text_strip(text.replace("_", " "), width, HEADING, INK, centred=True) for text in headings])


def _text_strip(text: str, width: int, size: int, ink: tuple[int, int, int], centred: bool = False) -> Image.Image:
    """Text wrapped to a width in pixels."""
    font = ImageFont.load_default(size)
    lines = wrap(text, width, font)
    height = round(1.35 * size)
    canvas = Image.new("RGB", (width, height * len(lines)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        left = (width - font.getlength(line)) / 2 if centred else 0
        draw.text((left, number * height), line, fill=ink, font=font)
    return canvas


def wrap(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Breaks a text into lines at most `width` pixels wide, between words, or within a word that is itself too long."""
    lines = [""]
    for word in text.split():
        while font.getlength(word) > width and len(word) > 1:
            fits = max(1, next((n for n in range(len(word), 0, -1) if font.getlength(word[:n]) <= width), 1))
            lines, word = [*lines, word[:fits]], word[fits:]
        joined = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], joined] if font.getlength(joined) <= width else [*lines, word]
    return [line for line in lines if line] or [""]


def _beside(tiles: Sequence[Image.Image]) -> Image.Image:
    height = max(tile.height for tile in tiles)
    canvas = Image.new("RGB", (sum(t.width for t in tiles) + GAP * (len(tiles) - 1), height), PAPER)
    left = 0
    for tile in tiles:
        canvas.paste(tile, (left, 0))
        left += tile.width + GAP
    return canvas


def _below(strips: Sequence[Image.Image]) -> Image.Image:
    """Stacks strips vertically, padded to the widest."""
    height = sum(strip.height + GAP for strip in strips) - GAP
    canvas = Image.new("RGB", (max(strip.width for strip in strips), height), PAPER)
    top = 0
    for strip in strips:
        canvas.paste(strip, (0, top))
        top += strip.height + GAP
    return canvas


def _framed(sheet: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (sheet.width + 2 * MARGIN, sheet.height + 2 * MARGIN), PAPER)
    canvas.paste(sheet, (MARGIN, MARGIN))
    return canvas
