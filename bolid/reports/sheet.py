"""The picture sheet: people in rows; their photos and what was drawn of them in columns."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from bolid.core.pictures import to_image
from bolid.core.results import SheetRow

TILE = 288  # least height of a picture on the sheet, in pixels; small pictures are enlarged to it
GAP, MARGIN = 10, 24
HEADING, CAPTION = 20, 15  # font sizes
INK, FAINT, PAPER = (25, 25, 25), (95, 95, 95), (255, 255, 255)
REFERENCES = "references"


def draw_sheet(rows: Sequence[SheetRow], title: str = "") -> Image.Image:
    """Draws the sheet: references | one column per heading, with the prompts under the rows.

    Args:
        rows: At least one; the headings are those of the first.
        title: A line above it all.
    """
    headings = [REFERENCES, *rows[0].columns]
    tile = _tile_size(rows[0])
    width = 2 * MARGIN + len(headings) * tile[0] + (len(headings) - 1) * GAP
    strips = [_text_strip(title, width - 2 * MARGIN, HEADING + 4, INK)] if title else []
    strips.append(_heading_strip(headings, tile[0]))
    for row in rows:
        tiles = [_mosaic(row.references, tile), *(_to_tile(row.columns.get(h), tile) for h in headings[1:])]
        caption = _text_strip(row.caption, width - 2 * MARGIN, CAPTION, FAINT)
        strips += [_beside(tiles), caption, Image.new("RGB", (1, GAP), PAPER)]
    return _below(strips, width)


def _tile_size(row: SheetRow) -> tuple[int, int]:
    height, width = next(iter(row.columns.values())).shape[-2:] if row.columns else row.references[0].shape[-2:]
    tall = max(TILE, height)
    return round(width * tall / height), tall


def _to_tile(picture: Tensor | None, tile: tuple[int, int]) -> Image.Image:
    """Fits a picture into a tile, centred on white."""
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


def _below(strips: Sequence[Image.Image], width: int) -> Image.Image:
    canvas = Image.new("RGB", (width, 2 * MARGIN + sum(s.height + GAP for s in strips) - GAP), PAPER)
    top = MARGIN
    for strip in strips:
        canvas.paste(strip, (MARGIN, top))
        top += strip.height + GAP
    return canvas
