"""`xrdgen sample`: draw crystals to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from xrdcommon import console
from xrdcommon.errors import InputError

if TYPE_CHECKING:
    from xrdcommon.identity import SampleIdentity

    from xrdgen.crystal import Crystal

MOST = 100_000
"""Crystals of one call; all of them are kept in memory."""


def sample(
    n: Annotated[int, typer.Option("-n", "--number", help="How many crystals.")] = 10,
    space_group: Annotated[
        str,
        typer.Option(
            "--space-groups",
            "--space-group",
            metavar="natural|uniform|LIST",
            help="Frequencies of the statistics, equal ones, or groups such as 14 or 2,195-230.",
        ),
    ] = "natural",
    structure_types: Annotated[
        str,
        typer.Option(
            metavar="FILE|LIST",
            help="Draw these structure types alone: a file (as `xrdgen structures types` writes), or labels or Wyckoff "
            "keys with commas between them.",
            show_default=False,
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same crystals.")] = 0,
    statistics: Annotated[str, typer.Option(help="Statistics file, or embedded:statistics.")] = "embedded:statistics",
    out: Annotated[Path | None, typer.Option(help="CIF to write: X.cif, or X-1.cif, X-2.cif ... for several.")] = None,
    kind: Annotated[
        str,
        typer.Option(
            "--crystals", metavar="paper|improved", help="improved: volumes and lattices closer to real ones."
        ),
    ] = "paper",
    min_structures: Annotated[int, typer.Option(help="Leave out groups with fewer structures.")] = 50,
    engine: Annotated[
        str,
        typer.Option(metavar="fast|reference", help="reference: pyxtal and spglib; the same crystals, slowly."),
    ] = "fast",
    ordering: Annotated[
        str,
        typer.Option(metavar="none|soft-spheres", help="soft-spheres: atoms too close together are moved apart."),
    ] = "none",
    spool: Annotated[Path | None, typer.Option(help="Draw a sample of this spool again; with --identity.")] = None,
    identity: Annotated[str | None, typer.Option(help="RUN:PRODUCER:SHARD:INDEX of that sample.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw synthetic crystals and print them; write them as CIF with --out.

    With --spool and --identity, draw the crystal of one sample of a production again.

    \b
    Example:
      xrdgen sample -n 3 --space-groups 14,62,225 --out crystals.cif
      xrdgen sample -n 3 --structure-types AB2C4_cF56_227_a_d_e,62:4c
      xrdgen sample --spool spool --identity 000000000000002a:0:17:5 --out crystal.cif
    """
    from xrdcommon.files import check_output
    from xrdcommon.identity import SampleIdentity
    from xrdcommon.space_groups import parse_groups

    from xrdgen.crystals.cif import write_cifs
    from xrdgen.crystals.generator import N_ATTEMPT_REASONS, CrystalGenerator
    from xrdgen.crystals.settings import GeneratorSettings
    from xrdgen.embedded import resolve
    from xrdgen.reference.generator import ReferenceGenerator
    from xrdgen.samples.config import ENGINES
    from xrdgen.statistics.model import Statistics
    from xrdgen.structures.types import read_types

    if (spool is None) != (identity is None):
        raise InputError("--spool and --identity belong together: the spool says how its samples were drawn")
    if not 1 <= n <= MOST:
        raise InputError(f"-n {n}: must be 1 to {MOST}; `xrdgen produce` makes more")
    if not 0 <= seed < 2**64:
        raise InputError(f"--seed {seed}: must be 0 to 2^64 - 1")
    if engine not in ENGINES:
        raise InputError(f"--engine {engine}: must be one of {', '.join(ENGINES)}")
    if out is not None and out.suffix.lower() != ".cif":
        raise InputError(f"--out {out}: crystals are written as CIF; the name must end in .cif")
    if spool is not None and identity is not None:
        _redraw(spool, SampleIdentity.parse(identity), out, as_json=as_json)
        return
    if out is not None:
        check_output(out, [])
    groups = space_group if space_group in ("natural", "uniform") else tuple(parse_groups(space_group))
    settings = GeneratorSettings(
        preset=kind,
        space_groups=groups,
        min_structures=min_structures,
        ordering=ordering,
        structure_types=read_types(structure_types) if structure_types else (),
    )
    known = Statistics.load(resolve(statistics))
    identities = [SampleIdentity(seed, 0, 0, index) for index in range(n)]
    if engine == "reference":
        slow = ReferenceGenerator(known, settings)
        crystals = [slow.draw(identity).to_crystal() for identity in console.track(identities, "crystals")]
        attempts = slow.attempts
    else:
        fast = CrystalGenerator(known, settings)
        crystals = [fast.draw(identity) for identity in console.track(identities, "crystals")]
        attempts = int(fast.accepted.sum() + fast.rejections[:, :N_ATTEMPT_REASONS].sum())
    paths: list[Path] = []
    if out is not None:
        paths = write_cifs(out, crystals, [str(identity) for identity in identities])
    if as_json:
        files: list[str | None] = [str(path) for path in paths]
        console.emit_json(
            [_record(*item) for item in zip(identities, crystals, files or [None] * n, strict=True)],
        )
        return
    _print_table(crystals)
    console.say(f"{n} crystals of {attempts} drawn, every space group verified within {settings.tolerance:g} Å")
    if paths:
        console.say(f"written: {paths[0]}" + (f" to {paths[-1]}" if len(paths) > 1 else ""))


def _redraw(path: Path, identity: SampleIdentity, out: Path | None, *, as_json: bool) -> None:
    """Print a sample of a spool, drawn again."""
    from xrdcommon.spool.spool import Spool

    from xrdgen.crystals.cif import write_cifs
    from xrdgen.diffraction.effects.parameters import PatternParameters
    from xrdgen.samples.engines import redraw

    drawn = redraw(Spool.open(path), identity)
    paths = [] if out is None else write_cifs(out, [drawn.crystal], [str(identity)])
    parameters = {name: float(drawn.record[name]) for name in PatternParameters._fields}
    if as_json:
        file = str(paths[0]) if paths else None
        console.emit_json([{**_record(identity, drawn.crystal, file), **parameters}])
        return
    _print_table([drawn.crystal])
    console.say(f"sample {identity} of {path}, drawn again; its diffractogram has {_described(parameters)}")
    if paths:
        console.say(f"written: {paths[0]}")


def _described(parameters: dict[str, float]) -> str:
    """Say what was done to a diffractogram."""
    size, impurities = parameters["crystallite_size"], int(parameters["n_impurities"])
    said = f"crystallites of {size:.1f} nm" if size > 0.0 else "no broadening by crystallite size"
    if impurities:
        said += f", {impurities} impurit{'y' if impurities == 1 else 'ies'}"
    return f"{said} (--json names all its parameters)" if parameters["k_alpha_2"] > 0.0 else said


def _record(identity: SampleIdentity, crystal: Crystal, path: str | None) -> dict[str, Any]:
    """Return a crystal as JSON values."""
    from xrdcommon.space_groups import symbol

    from xrdgen.elements import symbol as element_symbol
    from xrdgen.symmetry.wyckoff import letter

    return {
        "identity": str(identity),
        "space_group": crystal.space_group,
        "symbol": symbol(crystal.space_group),
        "formula": crystal.formula,
        "cell": crystal.cell.tolist(),
        "volume": crystal.volume,
        "n_sites": crystal.n_sites,
        "n_atoms": crystal.n_atoms,
        "sites": [
            {"element": element_symbol(int(z)), "wyckoff": f"{multiplicity}{letter(int(index))}", "x": x.tolist()}
            for z, multiplicity, index, x in zip(
                crystal.atomic_numbers, crystal.multiplicities, crystal.letters, crystal.positions, strict=True
            )
        ],
        "file": path,
    }


def _print_table(crystals: list[Crystal]) -> None:
    """Print one line a crystal."""
    from xrdcommon.space_groups import symbol

    formulas = [crystal.formula.replace(" ", "") for crystal in crystals]
    width = max(len("content"), *(len(formula) for formula in formulas))
    console.emit(
        f"{'':>4} {'group':<14} {'content':<{width}} {'a':>7} {'b':>7} {'c':>7} {'alpha':>6} {'beta':>6} {'gamma':>6} "
        f"{'V / Å^3':>8} {'sites':>5} {'atoms':>5}"
    )
    for number, (crystal, formula) in enumerate(zip(crystals, formulas, strict=True), start=1):
        lengths = " ".join(f"{value:7.3f}" for value in crystal.cell[:3])
        angles = " ".join(f"{value:6.2f}" for value in crystal.cell[3:])
        group = f"{crystal.space_group} {symbol(crystal.space_group)}"
        console.emit(
            f"{number:>4} {group:<14} {formula:<{width}} {lengths} {angles} "
            f"{crystal.volume:8.1f} {crystal.n_sites:5d} {crystal.n_atoms:5d}"
        )
