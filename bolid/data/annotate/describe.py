"""Captions photos without a caption by a caption model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from PIL import Image
from tqdm import tqdm

from bolid.core.errors import BolidError
from bolid.core.safe_io import PictureError, open_picture
from bolid.data.annotate.captions import clean, without_name
from bolid.data.annotate.run import Run
from bolid.data.annotate.store import Photo
from bolid.vision.caption import Captioner

log = logging.getLogger(__name__)
BATCH = 8  # photos


def captions_by(captioner: str, run: Run, device: str) -> None:
    """Captions every photo without a caption, with the person's name removed.

    Captions of a batch are saved when it is done; photos that the model fails on are noted.
    """
    model = Captioner(captioner, device)
    run.caption_model = model.fingerprint
    waiting = sum(1 for _ in run.captionless())
    failed: list[str] = []
    with tqdm(total=waiting, desc="describing", unit="photo", disable=waiting < 20) as bar:
        for photos in _batches(run.captionless()):
            for photo, text in _described(model, photos, run):
                if text is None:
                    failed.append(photo.name)
                else:
                    run.store.add_caption(photo.sha, run.caption_model, without_name(clean(text), photo.person))
            run.store.commit()
            bar.update(len(photos))
    run.summary.note("photos that the caption model failed on", failed)


def _batches(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    photos = iter(photos)
    while batch := list(islice(photos, BATCH)):
        yield batch


def _described(model: Captioner, photos: Sequence[Photo], run: Run) -> Iterator[tuple[Photo, str | None]]:
    """Captions of photos; None for a photo that fails for any reason."""
    shown: list[tuple[Photo, Image.Image]] = []
    for photo in photos:
        try:
            shown.append((photo, open_picture(run.folder / photo.name)))
        except PictureError:
            yield photo, None
    yield from _texts(model, shown)


def _texts(model: Captioner, shown: Sequence[tuple[Photo, Image.Image]]) -> Iterator[tuple[Photo, str | None]]:
    if not shown:
        return
    try:
        texts = model.describe([picture for _, picture in shown])
    except Exception as error:  # out of memory, or a size that the model cannot take, alone or beside others
        if len(shown) > 1:
            for one in shown:
                yield from _texts(model, [one])
            return
        if "out of memory" in str(error):
            raise BolidError("the caption model needs more memory than there is: give a smaller one") from error
        log.debug("a photo could not be described", exc_info=error)
        yield shown[0][0], None
        return
    yield from zip((photo for photo, _ in shown), texts, strict=True)
