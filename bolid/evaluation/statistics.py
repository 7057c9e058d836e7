"""Statistics over several methods: differences, and the share of a gap that each method closes."""

from __future__ import annotations

from collections.abc import Mapping

from bolid.methods.base import Method
from bolid.methods.bolid import Adapter
from bolid.methods.controls import Reconstruction, ShuffledIdentity, TextOnly
from bolid.metrics.base import Description
from bolid.metrics.interval import PersonScores, gap_closed, with_bounds

SHAPE_ERROR = "body_shape_error"
GAP = {
    "body_gap_closed": Description(
        "share of body shape's error that a method closes between text alone, 0, and the reconstruction, 1", "higher"
    )
}


def comparisons(methods: Mapping[str, Method]) -> list[tuple[str, str]]:
    """Pairs of methods whose difference is the effect of conditioning on the identity.

    Each method conditioned on the identity is compared with the methods conditioned on text alone, and with a shuffled
    identity under the same conditions or a subset. Reconstructions are excluded.
    """
    controls = [n for n, m in methods.items() if is_text(m) or isinstance(m, ShuffledIdentity)]
    own = [n for n, m in methods.items() if m.uses and not isinstance(m, ShuffledIdentity)]
    return [(o, c) for o in own for c in controls if methods[c].uses <= methods[o].uses]


def body_gaps(scores: Mapping[str, Mapping[str, PersonScores]], methods: Mapping[str, Method]) -> dict[str, float]:
    """`body_gap_closed/<method>` and its bounds, for methods conditioned on the identity.

    Args:
        scores: Method -> metric -> scores.
        methods: Methods by name; the gap needs text alone, a reconstruction, and the body-shape error in `scores`.
    """
    errors = {name: metrics[SHAPE_ERROR] for name, metrics in scores.items() if SHAPE_ERROR in metrics}
    text = next((name for name, method in methods.items() if is_text(method)), None)
    best = next((name for name, method in methods.items() if isinstance(method, Reconstruction)), None)
    if text not in errors or best not in errors:
        return {}
    found: dict[str, float] = {}
    for name, method in methods.items():
        if method.uses and (gap := gap_closed(errors[text], errors[name], errors[best])):
            found |= with_bounds(f"body_gap_closed/{name}", gap)
    return found


def guidance_notes(methods: Mapping[str, Method]) -> list[str]:
    """A note if methods use different negative conditions, and so different effective guidance."""
    rules: dict[bool, list[str]] = {True: [], False: []}
    for name, method in methods.items():
        adapter = method.of if isinstance(method, ShuffledIdentity) else method
        if isinstance(adapter, Adapter):
            rules[adapter.negative_body].append(name)
    if not rules[True]:
        return []
    note = f"Guidance of {', '.join(rules[True])} uses −c_body as the negative condition (`negative_body`)"
    rest = f", that of {', '.join(rules[False])} zeros: do not compare them" if rules[False] else ""
    return [f"{note}{rest}."]


def is_text(method: Method) -> bool:
    """Whether a method is conditioned on text alone."""
    return isinstance(method, TextOnly) and not isinstance(method, Reconstruction)
