"""Simulated diffractograms as files: two columns, a plot with hkl ticks, a table of lines."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from xrdcommon.errors import InputError
from xrdcommon.files import write_bytes
from xrdcommon.space_groups import symbol

from xrdgen.crystal import Crystal
from xrdgen.diffraction.simulator import Diffractogram, Peaks

PLOT_SUFFIXES = (".png", ".pdf", ".svg")

LABELLED_LINES = 12
"""Strongest lines of a curve that carry their hkl in the plot."""


def hkl_text(hkl: tuple[int, int, int]) -> str:
    """Write indices as crystallographers do, negative ones with a minus: '1 -1 0'."""
    return " ".join(str(int(index)) for index in hkl)


def describe_crystal(crystal: Crystal) -> str:
    """Name space group, content and cell in one phrase."""
    a, b, c, alpha, beta, gamma = crystal.cell
    return (
        f"{crystal.formula}, space group {crystal.space_group} {symbol(crystal.space_group)}, "
        f"cell {a:.4f} {b:.4f} {c:.4f} Å {alpha:.2f} {beta:.2f} {gamma:.2f} degrees"
    )


def peak_lines(peaks: Peaks) -> list[str]:
    """Return a table of all lines: hkl, d, 2theta, multiplicity, |F|^2, intensity."""
    header = f"{'h k l':>12} {'d / Å':>9} {'2theta':>9} {'mult':>5} {'|F|^2':>12} {'intensity':>10}"
    rows = [
        f"{hkl_text(hkl):>12} {d:9.5f} {two_theta:9.4f} {multiplicity:5d} {f_squared:12.2f} {intensity:10.4f}"
        for hkl, d, two_theta, multiplicity, f_squared, intensity in zip(
            peaks.hkl.tolist(),
            peaks.d,
            peaks.two_theta,
            peaks.multiplicity,
            peaks.f_squared,
            peaks.intensity,
            strict=True,
        )
    ]
    return [header, *rows]


def peak_records(peaks: Peaks) -> list[dict[str, Any]]:
    """Return all lines as JSON values."""
    return [
        {
            "hkl": hkl,
            "d": d,
            "two_theta": two_theta,
            "multiplicity": multiplicity,
            "f_squared": f_squared,
            "intensity": intensity,
        }
        for hkl, d, two_theta, multiplicity, f_squared, intensity in zip(
            peaks.hkl.tolist(),
            peaks.d.tolist(),
            peaks.two_theta.tolist(),
            peaks.multiplicity.tolist(),
            peaks.f_squared.tolist(),
            peaks.intensity.tolist(),
            strict=True,
        )
    ]


def xy_paths(out: Path, names: list[str]) -> list[Path]:
    """Return where each curve goes: F.xy for one, F-NAME.xy for several (F-NAME-2.xy where names repeat)."""
    if len(names) == 1:
        return [out]
    paths: list[Path] = []
    for name in names:
        path = out.with_name(f"{out.stem}-{name}{out.suffix}")
        repeat = 1
        while path in paths:
            repeat += 1
            path = out.with_name(f"{out.stem}-{name}-{repeat}{out.suffix}")
        paths.append(path)
    return paths


def write_xy(path: Path, diffractogram: Diffractogram, comments: list[str]) -> None:
    """Write two columns, 2theta in degrees and intensity with maximum 1, below comment lines that begin with #."""
    head = "".join(f"# {comment}\n" for comment in comments)
    columns = np.char.add(np.char.mod("%.6g ", diffractogram.two_theta), np.char.mod("%.6e\n", diffractogram.intensity))
    write_bytes(path, (head + "".join(columns)).encode("utf-8"))


def check_plot_name(path: Path) -> None:
    """Refuse a plot format that cannot be written.

    Raises:
        InputError: another ending than png, pdf or svg.

    """
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise InputError(f"{path}: plots are written as {', '.join(PLOT_SUFFIXES)}; choose such a name")


def plot(path: Path, curves: list[Diffractogram], titles: list[str]) -> None:
    """Draw the curves one above the other, with ticks at their lines and hkl at the strongest.

    Args:
        path: PNG, PDF or SVG to write.
        curves: diffractograms on one grid.
        titles: one a curve.

    Raises:
        InputError: a name with another ending.

    """
    from matplotlib.figure import Figure

    check_plot_name(path)
    figure = Figure(figsize=(11.0, 1.2 + 2.4 * len(curves)), layout="constrained")
    axes = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    for axis, diffractogram, title in zip(axes, curves, titles, strict=True):
        peaks = diffractogram.peaks
        axis.plot(diffractogram.two_theta, diffractogram.intensity, color="#20639b", linewidth=0.8)
        axis.vlines(peaks.two_theta, -0.09, -0.03, color="#444444", linewidth=0.6)
        for line in np.argsort(peaks.intensity)[::-1][:LABELLED_LINES]:
            place = round(
                (peaks.two_theta[line] - diffractogram.two_theta[0]) / np.diff(diffractogram.two_theta[:2])[0]
            )
            height = diffractogram.intensity[min(place, len(diffractogram.intensity) - 1)]
            axis.annotate(
                hkl_text(peaks.hkl[line]),
                (peaks.two_theta[line], height),
                xytext=(0, 3),
                textcoords="offset points",
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=6,
            )
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_ylim(-0.12, 1.28)
        axis.set_yticks([0.0, 0.5, 1.0])
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("2θ / degrees")
    axes[0].set_xlim(diffractogram.two_theta[0], diffractogram.two_theta[-1])
    figure.supylabel("intensity", fontsize=10)
    image = io.BytesIO()
    figure.savefig(image, dpi=150, format=path.suffix[1:].lower())
    write_bytes(path, image.getvalue())
