"""`xrdtrain instrument`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from xrdcommon import console


def instrument(
    measured: Annotated[Path, typer.Argument(metavar="FILE", help="A standard as the instrument measured it.")],
    standard: Annotated[str, typer.Option(help="LaB6, Si, CeO2, Al2O3 or the number of another SRM: 660b, 640e.")],
    out: Annotated[Path, typer.Option(help="File of effects to write, .toml.")],
    wavelength: Annotated[
        str | None, typer.Option(help="In Å, or CuKa, MoKa ...; of a file that does not say.")
    ] = None,
    sizes: Annotated[tuple[float, float], typer.Option(help="Crystallites of the samples to come, nm.")] = (
        30.0,
        1000.0,
    ),
    strains: Annotated[tuple[float, float], typer.Option(help="Microstrain of the samples to come.")] = (1e-4, 4e-3),
    two_theta_range: Annotated[
        tuple[float, float] | None,
        typer.Option("--range", metavar="FROM TO", help="Angles at which samples are measured; those of the standard."),
    ] = None,
    scan: Annotated[int | None, typer.Option(min=1, help="Which of several scans in the file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fit the profile of an instrument to a measured standard, and write it as a file of effects for the generator.

    Zero shift, widths (Caglioti, and a Lorentzian part by size and strain), low-angle asymmetry and the share of
    K-alpha 2; the wavelength too, where no tube emits it. A network is then fine-tuned to patterns of that instrument.

    \b
    Example:
      xrdtrain instrument lab6.xrdml --standard LaB6 --out my-instrument.toml
      xrdtrain fit spool-mine --run runs/mine --init-from embedded:measured --samples 400000 --learning-rate 3e-4 \\
          --produce 1 --produce-options "--preset measured --effects my-instrument.toml --crystals improved --step 0.02"
    """
    from xrdcommon.errors import InputError
    from xrdcommon.files import check_output, write_bytes

    from xrdtrain.measured.emission import parse_radiation
    from xrdtrain.measured.instrument_file import Samples, report, text_of
    from xrdtrain.measured.instrument_fit import fit_instrument
    from xrdtrain.measured.pattern import ReadOptions
    from xrdtrain.measured.reading import read_measured
    from xrdtrain.measured.standards import standard_of

    check_output(out, [measured])
    if out.suffix.lower() != ".toml":
        raise InputError(f"{out}: the generator reads effects from a .toml file; name one")
    samples = Samples(sizes, strains, two_theta_range)
    known = standard_of(standard)
    given = None if wavelength is None else parse_radiation(wavelength)
    pattern = read_measured(measured, ReadOptions(radiation=given, scan=scan))
    fit = fit_instrument(pattern, known)
    write_bytes(out, text_of(fit, samples, measured.name).encode())
    for remark in pattern.remarks:
        console.say(remark)
    if as_json:
        console.emit_json(report(fit))
        return
    profile = fit.profile
    console.emit(
        f"{measured}: {known}, {fit.radiation}, {len(fit.at)} lines from {fit.at.min():.2f} to {fit.at.max():.2f}"
    )
    for name, unit in (
        ("zero_shift", "degrees"), ("displacement", "degrees, of this sample"), ("u", "square degrees"),
        ("v", "square degrees"), ("w", "square degrees"), ("x", "degrees"), ("y", "degrees"), ("axial", "S/L = H/L"),
        ("k_alpha_2", "of K-alpha 1"),
    ):  # fmt: skip
        rest = "at its limit" if name in fit.at_limits else "not refined"
        esd = f"+- {fit.esd[name]:.2g}" if name in fit.esd else rest
        console.emit(f"  {name:<13} {getattr(profile, name):>10.5f}  {esd:<12} {unit}")
    console.emit(f"  lines are off by {fit.rms_offset:.4f} degrees (rms), R_wp {fit.misfit:.1%}")
    console.emit(
        f"written: {out}; `xrdgen produce --preset measured --effects {out}` draws patterns of this instrument"
    )
    if abs(profile.zero_shift) > 0.01:
        console.emit(f"for networks that were not tuned to it: xrdtrain predict --zero-shift {profile.zero_shift:.3f}")
