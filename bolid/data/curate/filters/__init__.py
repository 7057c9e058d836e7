"""The filters of curation, one per file, in order of cost."""

from bolid.data.curate.filters.base import KEPT, Filter, keeps
from bolid.data.curate.filters.body import Body
from bolid.data.curate.filters.caption import Caption
from bolid.data.curate.filters.copies import Copies
from bolid.data.curate.filters.decodable import Decodable
from bolid.data.curate.filters.exposure import Exposure
from bolid.data.curate.filters.identity import Identity
from bolid.data.curate.filters.people import People
from bolid.data.curate.filters.sharp import Sharp
from bolid.data.curate.filters.size import Size
from bolid.data.curate.filters.watermark import Watermark

__all__ = [
    "KEPT",
    "Body",
    "Caption",
    "Copies",
    "Decodable",
    "Exposure",
    "Filter",
    "Identity",
    "People",
    "Sharp",
    "Size",
    "Watermark",
    "keeps",
]
