"""Should a network answer? A look at the pattern before it, and at its features after it.

Neither gate stops an answer: both say, with the reason, that it is not to be trusted.
"""

from __future__ import annotations

from xrdtrain.measured.lines import find_lines
from xrdtrain.measured.prepare import PreparedPattern

LEAST_LINES = 3
"""Narrow lines below which most space groups look alike; none at all is no crystalline pattern."""

LEAST_SIGNAL = 4.0
"""Standard deviations of one point's noise by which the strongest line has to stand out."""

LEAST_SHOWN = 0.4
"""Share of the network's axis below which a pattern says little."""


def doubts(prepared: PreparedPattern) -> tuple[str, ...]:
    """Return why a pattern is unlike anything trained on, () where nothing speaks against it.

    Args:
        prepared: with the measured points that were used.

    """
    found: list[str] = []
    inside = (prepared.angles > 0.0) & (prepared.angles < 180.0)
    lines = find_lines(prepared.angles[inside], prepared.intensity[inside])
    if len(lines) == 0:
        what = f"{lines.n_broad} broad maxima of an amorphous sample and " if lines.n_broad else ""
        found.append(f"{what}no line that stands out of the noise")
    elif lines.signal_to_noise < LEAST_SIGNAL:
        found.append(
            f"the strongest line is {lines.signal_to_noise:.1f} times the noise, less than {LEAST_SIGNAL:g}: "
            "count longer, or there is no crystal"
        )
    elif len(lines) < LEAST_LINES:
        found.append(
            f"only {len(lines)} {'line stands' if len(lines) == 1 else 'lines stand'} out of the noise, "
            "too few to tell groups apart"
        )
    if prepared.mask.mean() < LEAST_SHOWN:
        found.append(f"only {prepared.mask.mean():.0%} of the range that the network knows was measured")
    return tuple(found)
