"""Fit the profile of an instrument to a measured standard, whose lines are known.

Windows around the standard's lines are fitted together by least squares with a soft loss: the intensity of every line
and a straight background of every window are linear and are solved for at each step, the parameters of `Profile` are
refined (`scipy.optimize.least_squares`). V is kept only where it lowers the misfit. K-alpha 2 is refined for every
tube, whose file may name K-alpha 1 alone; of radiation that no tube emits the wavelength is refined, not the
displacement.

# M measured points, L lines, N points of a window, P parameters
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares
from scipy.signal import find_peaks, peak_widths
from xrdcommon.errors import InputError

from xrdtrain.measured.emission import Radiation, anodes
from xrdtrain.measured.line_profile import Profile, Reals, line
from xrdtrain.measured.lines import find_lines, noise
from xrdtrain.measured.pattern import MeasuredPattern
from xrdtrain.measured.standards import Standard, standards

LARGEST_SHIFT = 0.6
"""Degrees by which lines may be off in a standard's measurement and still be looked for."""

SAME_TUBE = 5e-4
"""Relative difference of wavelengths of one line in different tables."""

NEAR = 0.06
"""Degrees; a measured line this near to a shifted line of the standard is that line."""

LEAST_LINES = 5
"""Lines below which shift, displacement and widths cannot be told apart."""

LEAST_SEEN, LEAST_EXPLAINED = 0.5, 0.7
"""Share of the standard's lines that must be seen (corundum has weak ones); of what is seen, by height, its share."""

WINDOW_WIDTHS, NARROWEST, WIDEST = 12.0, 0.35, 1.6
"""Half-width of a window in FWHM, and its limits in degrees."""

BETTER = 0.99
"""Misfit with V over that without, below which V is kept."""

WORST_MISFIT = 0.35
"""R_wp, background subtracted, above which the profile is not that of the measurement."""


@dataclass(frozen=True, slots=True)
class InstrumentFit:
    """The result.

    Attributes:
        standard: what was measured.
        profile: fitted.
        esd: estimated standard deviations by name of the parameter, for those refined.
        at_limits: names of those that were refined to one of their limits, which have none.
        radiation: wavelength, refined where no tube emits it.
        first: first measured angle, degrees.
        last: last measured angle.
        step: median step.
        at: (L,) 2theta of the lines that were used, by Bragg's law.
        offsets: (L,) degrees by which each is off after the fit.
        misfit: R_wp of the windows, background subtracted.

    """

    standard: Standard
    profile: Profile
    esd: dict[str, float]
    at_limits: tuple[str, ...]
    radiation: Radiation
    first: float
    last: float
    step: float
    at: Reals
    offsets: Reals
    misfit: float

    @property
    def rms_offset(self) -> float:
        """Root mean square of the offsets, degrees."""
        return float(np.sqrt(np.mean(self.offsets**2)))


@dataclass(frozen=True, slots=True)
class _Window:
    """Points (N,) around one line or several that overlap, with these lines' d (Å) and the noise of the points."""

    two_theta: Reals
    intensity: Reals
    sigma: Reals
    d: Reals


def bragg(d: Reals, wavelength: float) -> Reals:
    """Return 2theta (L,) in degrees of d (L,) in Å."""
    return np.asarray(np.degrees(2.0 * np.arcsin(wavelength / (2.0 * d))))


def fit_instrument(pattern: MeasuredPattern, standard: Standard) -> InstrumentFit:
    """Fit the profile of an instrument.

    Args:
        pattern: measured on the standard, against 2theta, with its radiation.
        standard: what it is.

    Raises:
        InputError: not against 2theta, no wavelength, other lines than the standard's, too few, or no fit.

    """
    if not len(pattern.two_theta):
        raise InputError(f"{pattern.file}: measured against {pattern.axis.value}; a profile needs 2theta")
    if pattern.radiation is None:
        raise InputError(f"{pattern.file}: its wavelength is not known; give --wavelength, for example CuKa")
    radiation = _with_doublet(pattern.radiation)
    pattern = replace(pattern, radiation=radiation)
    x, y = pattern.two_theta, pattern.intensity
    step = float(np.median(np.diff(x)))
    d = standard.d_spacings(radiation.wavelength / (2.0 * np.sin(np.radians(min(x[-1], 178.0) / 2.0))) * 1.000001)
    at = bragg(d, radiation.wavelength)
    shift = _recognise(pattern, standard, at[(at > x[0] + 0.3) & (at < x[-1] - 0.3)])
    fwhm = _typical_width(x, y, at + shift, step)
    windows = _windows(pattern, d, at + shift, fwhm)
    tube = radiation.anode is not None or len(radiation.wavelengths) > 1
    free = ["zero_shift", "displacement" if tube else "wavelength", "u", "w", "x", "y", "axial"]
    start = Profile(zero_shift=shift, u=1e-3, w=0.4 * fwhm**2, x=0.1 * fwhm, y=0.2 * fwhm, axial=0.015)
    if len(radiation.wavelengths) > 1:
        free.append("k_alpha_2")
        start = replace(start, k_alpha_2=0.5)
    problem = _Problem(windows, radiation, start, tuple(free))
    best, solution = problem, problem.solve()
    with_v = _Problem(windows, radiation, problem.profile(solution.x), (*free, "v"))
    other = with_v.solve()
    profile = with_v.profile(other.x)
    if other.cost < BETTER * solution.cost and _always_positive(profile, x):
        best, solution = with_v, other
    return _result(best, solution, pattern, standard, step)


def _with_doublet(radiation: Radiation) -> Radiation:
    """Return the doublet of a tube of which a file names K-alpha 1 alone: the fit tells whether K-alpha 2 is there."""
    if radiation.anode is None or len(radiation.wavelengths) > 1:
        return radiation
    first, second, _ = anodes()[radiation.anode]
    if abs(radiation.wavelength / first - 1.0) > SAME_TUBE:
        return radiation  # K-beta
    return replace(radiation, wavelengths=(radiation.wavelength, radiation.wavelength * second / first))


def _recognise(pattern: MeasuredPattern, standard: Standard, at: Reals) -> float:
    """Return the shift at which the measured lines are the standard's.

    Raises:
        InputError: they are not, or there are too few.

    """
    x, y = pattern.two_theta, pattern.intensity
    if len(at) < LEAST_LINES:
        raise InputError(
            f"{pattern.file}: {len(at)} lines of {standard} lie within {x[0]:g} to {x[-1]:g} degrees; at least "
            f"{LEAST_LINES} are needed: measure farther"
        )
    found = find_lines(x, y).positions
    heights = np.interp(found, x, y) - float(np.quantile(y, 0.1))
    shift, seen, explained = _match(found, heights, at, pattern.radiation)
    if seen < LEAST_SEEN or explained < LEAST_EXPLAINED:
        better: list[Standard] = []
        for one in standards().values():
            told = [standard.material, *(other.material for other in better)]
            if pattern.radiation is None or one.material in told:
                continue
            lines = bragg(one.d_spacings(pattern.radiation.wavelength / 1.999), pattern.radiation.wavelength)
            inside = lines[(lines > x[0] + 0.3) & (lines < x[-1] - 0.3)]
            if len(inside) >= LEAST_LINES:
                _, share, rest = _match(found, heights, inside, pattern.radiation)
                if share >= LEAST_SEEN and rest >= LEAST_EXPLAINED:
                    better.append(one)
        hint = (
            f"; they are those of {' or '.join(one.material for one in better)}"
            if better
            else "; is the wavelength right, the sample pure?"
        )
        raise InputError(
            f"{pattern.file}: its lines are not those of {standard}: {seen:.0%} of the {len(at)} expected lines are "
            f"there, and {explained:.0%} of what is seen is theirs{hint}"
        )
    return shift


def _match(found: Reals, heights: Reals, at: Reals, radiation: Radiation | None) -> tuple[float, float, float]:
    """Return the best shift, the share of expected lines that are seen, and the share of the heights that is theirs."""
    if not len(found):
        return 0.0, 0.0, 0.0
    best = (0.0, 0.0, 0.0)
    doubled = at
    if radiation is not None:
        others = list(radiation.wavelengths[1:])
        if radiation.anode is not None:
            others.append(anodes()[radiation.anode][2])  # what a filter lets through of K-beta
        for wavelength in others:
            sine = np.sin(np.radians(at / 2.0)) * wavelength / radiation.wavelength
            doubled = np.concatenate([doubled, 2.0 * np.degrees(np.arcsin(sine[sine < 1.0]))])
    for shift in np.arange(-LARGEST_SHIFT, LARGEST_SHIFT + 1e-9, NEAR / 3.0):
        seen = float((np.abs(found[None] - at[:, None] - shift).min(axis=1) < NEAR).mean())
        theirs = np.abs(found[:, None] - doubled[None] - shift).min(axis=1) < 1.5 * NEAR
        explained = float(heights[theirs].sum() / max(heights.sum(), 1e-300))
        if seen * explained > best[1] * best[2]:
            best = float(shift), seen, explained
    near = np.abs(found[None] - at[:, None] - best[0])
    close = near.min(axis=1) < NEAR
    if close.any():
        moved = found[near.argmin(axis=1)[close]] - at[close]
        best = (float(np.median(moved)), best[1], best[2])
    return best


def _typical_width(x: Reals, y: Reals, at: Reals, step: float) -> float:
    """Return the median FWHM in degrees of maxima near to lines."""
    peaks, _ = find_peaks(y, prominence=0.02 * float(y.max() - np.median(y)))
    near = [p for p in peaks if np.abs(at - x[p]).min() < 2.0 * NEAR]
    if not near:
        return 5.0 * step
    widths, *_ = peak_widths(y, near, rel_height=0.5)
    return float(np.clip(np.median(widths) * step, 2.0 * step, 1.0))


def _windows(pattern: MeasuredPattern, d: Reals, at: Reals, fwhm: float) -> list[_Window]:
    """Return windows around lines; those that overlap are one."""
    x, y = pattern.two_theta, pattern.intensity
    step = float(np.median(np.diff(x)))
    sigma = noise(y, max(3, round(1.0 / step)))
    if pattern.esd is not None:
        sigma = pattern.esd
    elif float(y.min()) >= 0.0 and np.array_equal(y, np.round(y)):
        sigma = np.sqrt(np.maximum(y, 1.0))  # counts
    half = float(np.clip(WINDOW_WIDTHS * fwhm, NARROWEST, WIDEST))
    doublet = pattern.radiation.wavelengths if pattern.radiation is not None else ()
    ratio = doublet[1] / doublet[0] if len(doublet) > 1 else 1.0
    spans: list[tuple[float, float, list[float]]] = []
    for spacing, place in zip(d, at, strict=True):
        end = 2.0 * np.degrees(np.arcsin(min(np.sin(np.radians(place / 2.0)) * ratio, 1.0)))
        low, high = place - half, min(end, place + 2.0) + half
        if low < x[0] or high > x[-1]:
            continue
        if spans and low < spans[-1][1]:
            spans[-1] = (spans[-1][0], high, [*spans[-1][2], float(spacing)])
        else:
            spans.append((low, high, [float(spacing)]))
    result = []
    for low, high, inside in spans:
        part = (x >= low) & (x <= high)
        if part.sum() > 8:
            floor = max(float(np.median(sigma[part])) * 0.05, 1e-12)
            result.append(_Window(x[part], y[part], np.maximum(sigma[part], floor), np.array(inside)))
    if sum(len(window.d) for window in result) < LEAST_LINES:
        raise InputError(
            f"{pattern.file}: fewer than {LEAST_LINES} lines lie whole within the measured range; measure farther"
        )
    return result


def _always_positive(profile: Profile, x: Reals) -> bool:
    """Return whether the Gaussian width is real over the measured range."""
    tangent = np.tan(np.radians(x / 2.0))
    return bool((profile.u * tangent**2 + profile.v * tangent + profile.w > 0.0).all())


_BOUNDS = {
    "zero_shift": (-1.0, 1.0), "displacement": (-1.0, 1.0), "u": (0.0, 2.0), "v": (-1.0, 1.0), "w": (1e-7, 2.0),
    "x": (0.0, 2.0), "y": (0.0, 2.0), "axial": (0.0, 0.1), "k_alpha_2": (0.0, 1.0), "wavelength": (0.99, 1.01),
}  # fmt: skip
"""Limits of parameters; the wavelength is a factor to that of the file."""

_AT_LIMIT = 0.01
"""A parameter nearer to a limit, in its scale, is there: the solver itself never touches one."""

_SCALES = {
    "zero_shift": 0.01, "displacement": 0.01, "u": 1e-3, "v": 1e-3, "w": 1e-3, "x": 0.01, "y": 0.01, "axial": 0.005,
    "k_alpha_2": 0.1, "wavelength": 1e-4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Problem:
    """Windows, a profile to begin with, and the names of what is refined."""

    windows: list[_Window]
    radiation: Radiation
    start: Profile
    free: tuple[str, ...]

    def profile(self, values: Reals) -> Profile:
        """Return the profile of parameters (P,)."""
        named = dict(zip(self.free, map(float, values), strict=True))
        named.pop("wavelength", None)
        return replace(self.start, **named)

    def wavelengths(self, values: Reals) -> tuple[float, ...]:
        """Return the wavelengths in Å of parameters (P,)."""
        factor = float(values[self.free.index("wavelength")]) if "wavelength" in self.free else 1.0
        return tuple(factor * value for value in self.radiation.wavelengths)

    def model(self, window: _Window, profile: Profile, wavelengths: tuple[float, ...]) -> tuple[Reals, Reals, Reals]:
        """Return columns (N, L + 2), their best factors, and the background (N,) of a window."""
        columns = []
        for d in window.d:
            at = bragg(np.array([d]), wavelengths[0])[0]
            column = line(window.two_theta, float(at), profile)
            if profile.k_alpha_2 > 0.0 and len(wavelengths) > 1 and wavelengths[1] < 2.0 * d:
                second = bragg(np.array([d]), wavelengths[1])[0]
                column = column + profile.k_alpha_2 * line(window.two_theta, float(second), profile)
            columns.append(column)
        centred = window.two_theta - window.two_theta.mean()
        matrix: Reals = np.stack([*columns, np.ones_like(centred), centred], axis=1)
        solved = np.linalg.lstsq(matrix / window.sigma[:, None], window.intensity / window.sigma, rcond=None)
        factors: Reals = np.asarray(solved[0], dtype=np.float64)
        base: Reals = matrix[:, -2:] @ factors[-2:]
        return matrix, factors, base

    def residuals(self, values: Reals) -> Reals:
        """Return what is not explained, in standard deviations, of all points."""
        profile, wavelengths = self.profile(values), self.wavelengths(values)
        parts = []
        for window in self.windows:
            matrix, factors, _ = self.model(window, profile, wavelengths)
            parts.append((window.intensity - matrix @ factors) / window.sigma)
        return np.concatenate(parts)

    def solve(self) -> OptimizeResult:
        """Refine."""
        begin = np.array([1.0 if name == "wavelength" else getattr(self.start, name) for name in self.free])
        low, high = np.array([_BOUNDS[name] for name in self.free]).T
        begin = np.clip(begin, low + 1e-9 * (high - low), high - 1e-9 * (high - low))
        scale = float(np.sqrt(np.mean(self.residuals(begin) ** 2)))
        return least_squares(
            self.residuals, begin, bounds=(low, high), x_scale=np.array([_SCALES[name] for name in self.free]),
            loss="soft_l1", f_scale=max(3.0, 0.5 * scale), max_nfev=80,
        )  # fmt: skip


def _result(
    problem: _Problem, solution: OptimizeResult, pattern: MeasuredPattern, standard: Standard, step: float
) -> InstrumentFit:
    """Gather the result.

    Raises:
        InputError: the profile does not fit the measurement.

    """
    profile, wavelengths = problem.profile(solution.x), problem.wavelengths(solution.x)
    places, offsets = [], []
    missed = total = 0.0
    for window in problem.windows:
        matrix, factors, base = problem.model(window, profile, wavelengths)
        rest = (window.intensity - matrix @ factors) / window.sigma
        missed += float((rest**2).sum())
        total += float((((window.intensity - base) / window.sigma) ** 2).sum())
        for number, d in enumerate(window.d):
            slope = np.gradient(factors[number] * matrix[:, number], window.two_theta) / window.sigma
            weight = float((slope**2).sum())
            if factors[number] > 0.0 and weight > 0.0:
                places.append(float(bragg(np.array([d]), wavelengths[0])[0]))
                offsets.append(-float((rest * slope).sum()) / weight)
    misfit = float(np.sqrt(missed / max(total, 1e-300)))
    if misfit > WORST_MISFIT or len(places) < LEAST_LINES:
        raise InputError(
            f"{pattern.file}: no profile fits its {len(places)} lines (R_wp {misfit:.0%}, at most {WORST_MISFIT:.0%} "
            "is taken); are the lines split, saturated, or of another sample too?"
        )
    degrees = max(len(solution.fun) - len(solution.x), 1)
    esd = _deviations(problem, solution, missed / degrees)
    return InstrumentFit(
        standard,
        profile,
        esd,
        tuple(name for name in problem.free if name not in esd),
        replace(problem.radiation, wavelengths=wavelengths),
        float(pattern.two_theta[0]),
        float(pattern.two_theta[-1]),
        step,
        np.array(places),
        np.array(offsets),
        misfit,
    )


def _deviations(problem: _Problem, solution: OptimizeResult, variance: float) -> dict[str, float]:
    """Return estimated standard deviations by name, times the root of the reduced chi squared where that is above 1.

    Parameters at a limit stay there: they have none, and those of the others are without them.
    """
    scales = np.array([_SCALES[name] for name in problem.free])
    low, high = np.array([_BOUNDS[name] for name in problem.free]).T
    inside = (solution.x > low + _AT_LIMIT * scales) & (solution.x < high - _AT_LIMIT * scales)
    names, scales = [name for name, free in zip(problem.free, inside, strict=True) if free], scales[inside]
    jacobian: NDArray[Any] = solution.jac[:, inside] * scales
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    roots = np.sqrt(np.maximum(np.diag(inverse), 0.0) * max(variance, 1.0)) * scales
    return dict(zip(names, map(float, roots), strict=True))
