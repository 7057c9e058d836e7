"""Filter of photos by the number of people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.measure import Measure
from bolid.data.curate.people import PeopleMeasure
from bolid.data.curate.photos import Photos


@dataclass
class People(Filter):
    """Rejects photos without a person or with several, counted by bodies and by faces.

    Attributes:
        people: Network that detects people: movenet (for photographs), embedded (for rendered people), or the folder of
            a pose network.
        faces: Network that detects faces: blazeface-full, blazeface-short, a YOLO face network as an .onnx file, or
            null.
        recogniser: Network that embeds faces, which the filter `identity` compares: dlib-face, embedded, the path of an
            .onnx file, or null.
        person_score: Minimum score of a person, 0 to 1.
        face_score: Minimum score of a face.
        together: If neither is reached, the minimum sum of the highest scores of person and face; below, the photo has
            no person.
        share: Further people count from this share of the main person's height on, further faces from this share of the
            main face's.
    """

    people: str = "movenet"
    faces: str | None = "blazeface-full"
    recogniser: str | None = "dlib-face"
    person_score: float = 0.3
    face_score: float = 0.6
    together: float = 0.6
    share: float = 0.4
    name = "people"

    def measure(self) -> Measure:
        """People, faces, and the main person's face."""
        return PeopleMeasure(self.people, self.faces, self.recogniser)

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Counts."""
        self._known = photos.measured("people")
        self._people, person = self._count(photos, "person_scores", "person_heights", self.person_score)
        self._faces, face = self._count(photos, "face_scores", "face_heights", self.face_score)
        self._sum = person + face

    def judge(self, photos: Photos, k: int) -> str:
        """The verdict by the number of people."""
        if not self._known[k]:
            return UNKNOWN
        people, faces = int(self._people[k]), int(self._faces[k])
        if people > 1 or faces > 1:
            return f"several people: {people} bodies and {faces} faces, not 1"
        if people or faces or self._sum[k] >= self.together:
            return KEPT
        return f"nobody: scores of body and face sum up to {self._sum[k]:.2f} < {self.together:g}"

    def _count(self, photos: Photos, scores: str, heights: str, least: float) -> tuple[np.ndarray, np.ndarray]:
        """(n,) how many people or faces count, and the highest score."""
        found, surest = np.zeros(len(photos), np.int16), np.zeros(len(photos), np.float32)
        columns = (photos.arrow("people", column) for column in (scores, heights, "height"))
        for k, (score, height, main) in enumerate(zip(*columns, strict=True)):
            if score.is_valid and len(score):
                sure, tall = np.array(score.as_py()), np.array(height.as_py())
                # The body of a face that fills the photo is often detected far too small.
                least_tall = self.share * (
                    main.as_py() if scores == "person_scores" else max(tall[sure >= least], default=0.0)
                )
                found[k], surest[k] = ((sure >= least) & (tall >= least_tall)).sum(), sure.max()
        return found, surest
