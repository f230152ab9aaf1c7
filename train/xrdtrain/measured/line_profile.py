"""The profile of one line of an instrument, in float64: the laws of the generator, so that a fit gives its parameters.

    symbol      meaning                                                                             source
    H_G^2       U tan^2(theta) + V tan(theta) + W, FWHM^2 of the Gaussian, square degrees 2theta    [C]
    H_L         X / cos(theta) + Y tan(theta), FWHM of the Lorentzian, degrees 2theta               [T]
    H, eta      FWHM and Lorentzian share of the pseudo-Voigt that is close to their convolution    [T]
    a           S/L = H/L, half-heights of sample and detector slit over the radius (taken equal)   [F]
    2theta_0    zero shift; every line moves by 2theta_0 + D cos(theta), D the displacement         [K]

X stands for a Lorentzian broadening as by size, L = K lambda / X, and Y for one as by strain, e = Y / 4 (in radians):
in that form the generator takes the Lorentzian part of an instrument, most of which is the natural width of the lines.

[C] Caglioti, Paoletti & Ricci (1958). [T] Thompson, Cox & Hastings, J. Appl. Cryst. 20 (1987) 79. [F] Finger, Cox &
Jephcoat, J. Appl. Cryst. 27 (1994) 892. [K] Klug & Alexander (1974), section 5-1.2.

# N points of a window, T nodes of the axial integral
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

FEWEST, MOST = 3, 32
"""Gauss-Legendre nodes of the axial integral: more, the farther the tail reaches in FWHM."""

LARGEST_T = 0.98
"""Share of |tan(2theta)| at which the integral ends: beyond 1 the cone leaves the detector."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Parameters of an instrument's lines; degrees on the 2theta axis.

    Attributes:
        zero_shift: degrees.
        displacement: degrees, D.
        u: square degrees.
        v: square degrees.
        w: square degrees.
        x: degrees.
        y: degrees.
        axial: a.
        k_alpha_2: intensity of K-alpha 2 over that of K-alpha 1.

    """

    zero_shift: float = 0.0
    displacement: float = 0.0
    u: float = 0.0
    v: float = 0.0
    w: float = 0.0
    x: float = 0.0
    y: float = 0.0
    axial: float = 0.0
    k_alpha_2: float = 0.0

    def shift(self, theta: Reals) -> Reals:
        """Return what is added to 2theta (degrees) of lines at theta (radians)."""
        return np.asarray(self.zero_shift + self.displacement * np.cos(theta))

    def widths(self, theta: Reals) -> tuple[Reals, Reals]:
        """Return FWHM (degrees) and Lorentzian share of lines at theta (radians)."""
        tangent = np.tan(theta)
        gaussian = np.sqrt(np.maximum(self.u * tangent**2 + self.v * tangent + self.w, 1e-8))
        lorentzian = np.maximum(self.x / np.cos(theta) + self.y * tangent, 0.0)
        return thompson_cox_hastings(gaussian, lorentzian)


def thompson_cox_hastings(gaussian: Reals, lorentzian: Reals) -> tuple[Reals, Reals]:
    """Return FWHM and Lorentzian share of the pseudo-Voigt near to the convolution of both FWHM (not both 0)."""
    g, l = gaussian, lorentzian  # noqa: E741
    fwhm = (
        g**5 + 2.69269 * g**4 * l + 2.42843 * g**3 * l**2 + 4.47163 * g**2 * l**3 + 0.07842 * g * l**4 + l**5
    ) ** 0.2
    q = l / fwhm
    return fwhm, 1.36603 * q - 0.47719 * q**2 + 0.11116 * q**3


def pseudo_voigt(offset: Reals, fwhm: float, eta: float) -> Reals:
    """Return a pseudo-Voigt of area 1 at offsets (degrees) from its centre; eta is the share of the Lorentzian."""
    z = offset / fwhm
    gaussian = 2.0 * np.sqrt(np.log(2.0) / np.pi) * np.exp(-4.0 * np.log(2.0) * z**2)
    return np.asarray((eta * (2.0 / np.pi) / (1.0 + 4.0 * z**2) + (1.0 - eta) * gaussian) / fwhm)


@cache
def _legendre(n: int) -> tuple[Reals, Reals]:
    """Return n nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(n)
    return (x + 1.0) / 2.0, w / 2.0


def axial_tail(two_theta: float, axial: float, fwhm: float) -> tuple[Reals, Reals]:
    """Return shifts (degrees) and weights (sum 1) of the places (T,) to which axial divergence spreads a line.

    Args:
        two_theta: degrees, not 90.
        axial: a.
        fwhm: of the line, degrees.

    """
    tangent = abs(np.tan(np.radians(two_theta)))
    farthest = min(2.0 * axial, LARGEST_T * tangent)
    if farthest < 1e-6:
        return np.zeros(1), np.ones(1)
    end = np.arccos(np.cos(np.radians(two_theta)) * np.sqrt(1.0 + farthest**2))
    reach = abs(float(np.degrees(end)) - two_theta) / fwhm
    nodes, weights = _legendre(int(np.clip(FEWEST + 6.0 * reach, FEWEST, MOST)))
    t = farthest * nodes
    cosine = np.cos(np.radians(two_theta)) * np.sqrt(1.0 + t**2)
    angle = np.arccos(cosine)
    density = weights * (2.0 * axial - t) / (cosine**2 * np.sin(angle))
    return np.degrees(angle) - two_theta, density / density.sum()


def line(two_theta: Reals, at: float, profile: Profile) -> Reals:
    """Return one emission line of area 1 at points (N,).

    Args:
        two_theta: (N,) degrees.
        at: where Bragg's law has the line, degrees.
        profile: of the instrument.

    """
    theta = np.array([np.radians(at / 2.0)])
    (fwhm,), (eta,) = profile.widths(theta)
    centre = at + float(profile.shift(theta)[0])
    shifts, weights = axial_tail(at, profile.axial, float(fwhm))
    spread = pseudo_voigt(two_theta[:, None] - centre - shifts, float(fwhm), float(eta))
    result: Reals = spread @ weights
    return result
