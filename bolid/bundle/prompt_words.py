"""Words of prompts that no caption of a rendered photo has, but that other methods' recipes prescribe."""

from __future__ import annotations

RARE = "sks"  # of DreamBooth: a token without a meaning of its own, to be bound to a person
TRIGGER = "img"  # of PhotoMaker: follows the class word whose embedding is replaced
ASIDES = (  # they change nothing of what a picture shows
    "best quality, high quality",  # IP-Adapter
    "portrait, color, cinematic",  # PuLID
)
NEGATIVE = "monochrome, lowres, bad anatomy, worst quality, low quality"  # IP-Adapter: as good as no caption
RESERVED = (f"{RARE} {TRIGGER} man woman person boy girl {' '.join(ASIDES)} {NEGATIVE} blurry deformed").replace(
    ",", ""
)
