"""Options that several commands have in the same words."""

from __future__ import annotations

from typing import Annotated

import typer

TwoThetaMin = Annotated[float, typer.Option(help="First angle, degrees 2theta.")]
TwoThetaMax = Annotated[float, typer.Option(help="Last angle, degrees 2theta.")]
Step = Annotated[float, typer.Option(help="Step, degrees 2theta.")]
Wavelength = Annotated[float, typer.Option(help="Wavelength in Å.")]
Preset = Annotated[str, typer.Option(help="Imperfections of the diffractograms: pure, s4, s4-impurity or measured.")]
Effects = Annotated[
    str | None,
    typer.Option(
        help="Changes to the preset: effects such as no-texture,no-noise,zero-shift, or a TOML or JSON file.",
        show_default=False,
    ),
]
