"""Space-group symbols as International Tables print them."""

from __future__ import annotations

import re

from markupsafe import Markup, escape
from xrdcommon.space_groups import symbol

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_OVERLINE = "\u0305"


def printed(text: str) -> str:
    """Return a symbol with screw axes as subscripts and bars over the digits: Fd-3m as Fd3̅m, P2_1/c as P2₁/c."""
    text = re.sub(r"_(\d)", lambda match: match.group(1).translate(_SUBSCRIPTS), text)
    return re.sub(r"-(\d)", rf"\1{_OVERLINE}", text)


def printed_symbol(number: int) -> str:
    """Return the Hermann-Mauguin symbol of a space group as printed."""
    return printed(symbol(number))


def group_name(number: int) -> str:
    """Return number and symbol, for example '14 P2₁/c'."""
    return f"{number} {printed_symbol(number)}"


def typeset(text: str) -> Markup:
    """Return a symbol made by `printed` as HTML: letters italic, bars drawn by the style sheet."""
    html = re.sub(r"([A-Za-z]+)", r"<i>\1</i>", str(escape(text)))
    return Markup(re.sub(rf"(\d){_OVERLINE}", r'<span class="bar">\1</span>', html))  # escaped above
