"""What follows from the scores of several methods: differences, and how much of a gap each one closes."""

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
    """Pairs of methods whose difference is what conditioning on a person does.

    Each method that is conditioned on its person, less those that are conditioned on nothing, or on no more and another
    person. A reconstruction is neither.
    """
    controls = [n for n, m in methods.items() if is_text(m) or isinstance(m, ShuffledIdentity)]
    own = [n for n, m in methods.items() if m.uses and not isinstance(m, ShuffledIdentity)]
    return [(o, c) for o in own for c in controls if methods[c].uses <= methods[o].uses]


def body_gaps(scores: Mapping[str, Mapping[str, PersonScores]], methods: Mapping[str, Method]) -> dict[str, float]:
    """`body_gap_closed/<method>` and its bounds, of the methods that are conditioned on a person.

    Args:
        scores: Method -> metric -> its scores.
        methods: Without one for text alone, a reconstruction and body shape's error in `scores` there are no gaps.
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
    """Says so where methods are guided by different rules, whose strengths then differ beside what they know."""
    rules: dict[bool, list[str]] = {True: [], False: []}
    for name, method in methods.items():
        adapter = method.of if isinstance(method, ShuffledIdentity) else method
        if isinstance(adapter, Adapter):
            rules[adapter.negative_body].append(name)
    if not rules[True]:
        return []
    away = f"Guidance of {', '.join(rules[True])} steers away from the opposite body (`negative_body`)"
    rest = f", of {', '.join(rules[False])} from no conditions: do not compare them" if rules[False] else ""
    return [f"{away}{rest}."]


def is_text(method: Method) -> bool:
    """Whether a method is conditioned on text alone."""
    return isinstance(method, TextOnly) and not isinstance(method, Reconstruction)
