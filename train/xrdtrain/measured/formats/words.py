"""What headers say in words: the wavelength, the anode, what the axis is, whether it was neutrons."""

from __future__ import annotations

import re
from pathlib import Path

from xrdcommon.errors import FormatError

from xrdtrain.measured.emission import HC, LONGEST, SAME_LINE, SHORTEST, Radiation, anodes, of_anode, of_wavelengths
from xrdtrain.measured.pattern import Axis

_NUMBER = r"(\d*[.,]\d+|\d+)"
_WAVELENGTH = re.compile(
    rf"(?:wave[\s_-]*length|lambda|λ|\bwl)(?:[^\d\n]{{0,40}}?[12])?[^\d\n]{{0,40}}?(?:(?<![A-Za-zα\d.,])|(?<=lambda)|(?<=length)){_NUMBER}"
    r"\s*(nm|pm|å|a\b|ang)?",
    re.IGNORECASE,
)
_K_ALPHA_NUMBER = re.compile(
    rf"(?<![a-z])(?:[a-z]{{2}})?[\s_-]?k[\s_-]*(?:alpha|α|a)[\s_-]*([12])(?![\d.])[^\d\n]{{0,24}}(?<![A-Za-zα]){_NUMBER}"
    r"\s*(nm|pm|å|a\b|ang)?",
    re.IGNORECASE,
)
_ENERGY = re.compile(rf"energy[^\d\n]{{0,20}}?(?:(k)?ev\W{{0,6}}{_NUMBER}|{_NUMBER}\s*(k)?ev)", re.IGNORECASE)
_SYMBOLS = "|".join(anodes())
_LINE = re.compile(rf"\b({_SYMBOLS})[\s_-]*K[\s_-]*(?:alpha|α|a)[\s_-]*([12])?(?![\d.])", re.IGNORECASE)
_ANODE_NUMBER = re.compile(rf"\b({_SYMBOLS})[\s,]+(\d\.\d{{3,}})", re.IGNORECASE)
"""An anode before its wavelength, as in the headers of MDI and CPI."""
_METALS = {"copper": "Cu", "cobalt": "Co", "molybdenum": "Mo", "chromium": "Cr", "iron": "Fe", "silver": "Ag"}
_ANODE = re.compile(rf"(?:anode|target|tube|radiation|source|x-?rays?\s*[:=,])"
                    r"[^A-Za-z\n]{0,12}(?:material|name|element)?"
                    rf"[^A-Za-z\n]{{0,12}}\b({_SYMBOLS}|{'|'.join(_METALS)})\b", re.IGNORECASE)  # fmt: skip
_NEUTRON = re.compile(
    r"\bneutrons?\b|time[\s-]*of[\s-]*flight|\btof\b|"
    r"\b(?:hrpt|spodi|echidna|wombat|powgen|firepod|hb-?2a|(?:d1[ab]|d2b|d20)\d?(?=\s+title))\b",
    re.IGNORECASE,
)
"""The word, or a diffractometer that has nothing else."""
_THETA = r"(?:theta|th|tht)\b"
_TWO_THETA = re.compile(rf"(?:2|two)[\s_*·.\-]*(?:{_THETA}|theta)|\bt+theta|\btth\b|\b2th", re.IGNORECASE)
_COUPLED = re.compile(r"(?:(?:2|two)[\s_*-]*)?theta[\s]*[/\-:][\s]*(?:(?:2|two)[\s_*-]*)?theta", re.IGNORECASE)
_ONLY_THETA = re.compile(r"^[\W_]*(?:theta|th)\b(?!\s*[:=\-]|\s*/\s*[2t])|not\s+(?:2|two)[\s_-]*theta", re.IGNORECASE)
_Q = re.compile(r"^[\W_]*q\b|^[\W_]*q(?:nm|inv)|^[\W_]*q[\s_(\[/]|scattering vector|momentum transfer", re.IGNORECASE)
_D = re.compile(r"^[\W_]*d[\s_-]*(?:spacing|space|value|hkl|\(|\[|/|å|$)|^[\W_]*d\b", re.IGNORECASE)
_S = re.compile(r"sin\s*\(?\s*theta\s*\)?\s*/\s*lambda", re.IGNORECASE)
_RADIANS = re.compile(r"\brad(?:ians?)?\b", re.IGNORECASE)
_CENTI = re.compile(r"centi|0\.01\s*deg|1/100", re.IGNORECASE)
_NANOMETRES = re.compile(r"nm", re.IGNORECASE)
_ANGSTROMS = re.compile(r"å|ang|\ba\b|a\^?-1|/a", re.IGNORECASE)
_ANGLE = re.compile(r"\bangle|\bpos(?:ition)?\b|degree", re.IGNORECASE)
_OTHER = re.compile(
    r"(?:omega|phi|chi|psi|energy|time|channel|pixel|wave ?number|raman(?: shift)?|wave ?length|temperature|frequency|"
    r"binding energy|retention|m/z|1/d|radius|r)\b(?![ /-]*2 ?theta)",
    re.IGNORECASE,
)
_NO_INTENSITY = re.compile(
    r"time|index|\bno\b|number|\bn\b|back|bkg|calc|fit|diff|resid|weight|step|fwhm|width|area|\bhkl\b|monitor|attenu",
    re.IGNORECASE,
)
_SCALE = {"nm": 10.0, "pm": 0.01}
INTENSITY = re.compile(
    r"^[\W_]*(?:i|y|int|intensity|intensities|counts?|cps|iobs|yobs|y_?obs|net|signal|i\(.*\))(?:\b|_|$)|counts|intensit",
    re.IGNORECASE,
)
ESD = re.compile(r"\besd\b|sigma|error|\bsig\b|std|uncert|^[\W_]*[de]i$", re.IGNORECASE)


def plain(text: str) -> str:
    """Return text with the Greek letter theta spelt out."""
    return text.replace("θ", "theta").replace("ϑ", "theta").replace("Θ", "theta").replace("Q̲", "Q")


def refuse_neutrons(text: str, path: Path) -> None:
    """Refuse a header that says that the radiation was neutrons.

    Raises:
        FormatError: it does; names the word.

    """
    match = _NEUTRON.search(text)
    if match is not None:
        raise FormatError(f"{path}: the header names neutrons ('{match[0]}'); the networks know X-ray intensities only")


def _angstroms(number: str, unit: str | None) -> float | None:
    """Return a wavelength in Å, None where it cannot be one."""
    value = float(number.replace(",", ".")) * _SCALE.get((unit or "").lower(), 1.0)
    return value if SHORTEST <= value <= LONGEST else None


def radiation_in(text: str, source: str = "the file") -> Radiation | None:
    """Return the radiation that a header names, None where it names none."""
    named = _LINE.search(text) or _ANODE.search(text)
    anode = None if named is None else _METALS.get(named[1].lower(), named[1].capitalize())
    first: dict[str, float] = {}
    for match in _K_ALPHA_NUMBER.finditer(text):
        value = _angstroms(match[2], match[3])
        ratio = "ratio" in text[max(0, match.start() - 16) : match.start(2)].lower()  # of the two lines' intensities
        if value is not None and not ratio:
            first.setdefault(match[1], value)
    if "1" in first:
        return of_wavelengths(tuple(first[key] for key in sorted(first)), source, anode)
    for match in _WAVELENGTH.finditer(text):
        before = re.search(r"[\[(/\s](nm|pm)\b", match[0][: match.start(1) - match.start()], re.IGNORECASE)
        value = _angstroms(match[1], match[2] or (before and before[1]))
        if value is not None:
            return of_wavelengths((value,), source, anode)
    for match in _ANODE_NUMBER.finditer(text):
        lines = anodes()[match[1].capitalize()]
        if lines[0] - SAME_LINE < float(match[2]) < lines[1] + SAME_LINE:
            return of_wavelengths((float(match[2]),), source, match[1])
    energy = _ENERGY.search(text)
    if energy is not None:
        number = float((energy[2] or energy[3]).replace(",", "."))
        value = HC / max(number if energy[1] or energy[4] else number / 1000.0, 1e-9)
        if SHORTEST <= value <= LONGEST:
            return of_wavelengths((value,), source)
    if anode is None:
        return None
    line = _LINE.search(text)
    if line is not None and line[2] is not None:
        return Radiation((anodes()[anode][int(line[2]) - 1],), source, anode)
    return of_anode(anode, source)


def axis_of_name(name: str) -> tuple[Axis | None, bool]:
    """Return what a column's name says it is, and whether that is beyond doubt (else it is to be asked)."""
    name = plain(name).replace("_", " ")
    if _S.search(name):
        return Axis.S, True
    if _TWO_THETA.search(name):
        if _RADIANS.search(name):
            return Axis.RADIANS, True
        return (Axis.CENTIDEGREES if _CENTI.search(name) else Axis.TWO_THETA), True
    if _Q.search(name):
        if _NANOMETRES.search(name):
            return Axis.Q_NM, True
        return Axis.Q, _ANGSTROMS.search(name) is not None
    if _ONLY_THETA.search(name):
        return (Axis.THETA_RADIANS if _RADIANS.search(name) else Axis.THETA), False
    if _D.search(name) and not re.match(r"^[\W_]*d[\W_]*i\b", name, re.IGNORECASE):
        return Axis.D, "spac" in name.lower() or _ANGSTROMS.search(name) is not None
    if _RADIANS.search(name):
        return Axis.RADIANS, False
    return (Axis.TWO_THETA, True) if _ANGLE.search(name) else (None, False)


def may_be_intensity(name: str) -> bool:
    """Return whether a column's name leaves it open that it holds intensities: no axis, deviation, time or fit."""
    text = plain(name).replace("_", " ")
    if INTENSITY.search(name) and not ESD.search(name):
        return True
    return bool(text.strip()) and axis_of_name(name)[0] is None and not (
        ESD.search(text) or _OTHER.match(text) or _NO_INTENSITY.search(text)
    )  # fmt: skip


def other_axis(name: str) -> str | None:
    """Return what a column's name says that no pattern can be made of: a spectrum, another motor; None for others."""
    match = _OTHER.match(plain(name).replace("_", " ").strip("#!'\"%;*@ "))
    return None if match is None else match[0].strip()


def doubtful_axis(lines: list[str]) -> tuple[Axis, str] | None:
    """Return an axis other than 2theta that free lines of a header hint at, with the line; None where none does."""
    for line in lines:
        text = _COUPLED.sub(" ", plain(line)).strip()
        if _ONLY_THETA.search(text):
            return Axis.THETA, line.strip()
        short = len(text) <= 60
        if short and re.search(r"\bq\b\s*[(\[/,]", text, re.IGNORECASE) and "2theta" not in text.lower():
            return (Axis.Q_NM if _NANOMETRES.search(text) else Axis.Q), line.strip()
        if short and re.search(r"\bd[\s-]*spacing", text, re.IGNORECASE) and not _TWO_THETA.search(text):
            return Axis.D, line.strip()
        if short and _RADIANS.search(text):
            return Axis.RADIANS, line.strip()
    return None
