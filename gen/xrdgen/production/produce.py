"""Production from the outside: open or make a spool, find workers, run the coordinator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from xrdcommon import console
from xrdcommon.errors import InputError, Interrupted, MissingFileError, SpoolError
from xrdcommon.files import sha256_file
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement
from xrdcommon.processes import usable_cores
from xrdcommon.signals import StopRequest, stop_on_signals
from xrdcommon.space_groups import parse_groups
from xrdcommon.spool.backlog import Watermarks
from xrdcommon.spool.producer import Stream
from xrdcommon.spool.spool import Spool

from xrdgen import embedded
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.diffraction.imperfections import PRESETS, Imperfections, parse_effects
from xrdgen.diffraction.settings import SimulationSettings
from xrdgen.production.coordinator import Coordinator
from xrdgen.production.executors import Executor, SerialExecutor, local_cluster, running_cluster
from xrdgen.production.options import LOCAL, SampleOptions
from xrdgen.production.shard_task import RowFactory
from xrdgen.samples.compiling import compile_once
from xrdgen.samples.config import ROWS_PER_SHARD, STATISTICS_FILE, ProductionConfig
from xrdgen.samples.engines import rows_of
from xrdgen.samples.rows import CrystalRows
from xrdgen.structures.types import read_types

DEFAULT_STATISTICS = "embedded:statistics"


@dataclass(frozen=True, kw_only=True)
class Asked(SampleOptions):
    """What the user asked for; None leaves it to the spool, or to the defaults of a new one."""

    def apply(self, configuration: ProductionConfig) -> ProductionConfig:
        """Return a configuration with all that was asked for, but for the statistics."""
        simulation, generator = self.settings(configuration.simulation, configuration.generator)
        preset, imperfections = self.imperfections(
            configuration.preset, configuration.imperfections, simulation.measurement
        )
        return replace(
            configuration,
            imperfections=imperfections,
            simulation=simulation,
            generator=generator,
            preset=preset,
            engine=configuration.engine if self.engine is None else self.engine,
            rows_per_shard=configuration.rows_per_shard if self.rows_per_shard is None else self.rows_per_shard,
            sizes_per_crystal=(
                configuration.sizes_per_crystal if self.sizes_per_crystal is None else self.sizes_per_crystal
            ),
        )

    def imperfections(
        self, preset: str, imperfections: Imperfections, measurement: Measurement
    ) -> tuple[str, Imperfections]:
        """Return preset and imperfections that were asked for, or those given where nothing was.

        Raises:
            XrdError: an unknown preset or effect, or a file of effects that cannot be read.

        """
        if self.preset is None and self.effects is None:
            return preset, imperfections
        named = preset if self.preset is None else self.preset
        if named not in PRESETS:
            raise InputError(f"preset '{named}': must be one of {', '.join(PRESETS)}")
        asked = Imperfections.preset(named)
        return named, asked if self.effects is None else parse_effects(self.effects, asked, measurement)

    def settings(
        self, simulation: SimulationSettings, generator: GeneratorSettings
    ) -> tuple[SimulationSettings, GeneratorSettings]:
        """Return settings with what was asked for.

        Raises:
            InputError: a value out of its range.

        """
        grid = simulation.grid
        grid = Grid(
            grid.two_theta_min if self.two_theta_min is None else self.two_theta_min,
            grid.two_theta_max if self.two_theta_max is None else self.two_theta_max,
            grid.step if self.step is None else self.step,
        )
        wavelength = simulation.wavelength if self.wavelength is None else self.wavelength
        simulation = replace(simulation, grid=grid, wavelength=wavelength)
        if self.crystals is not None:
            generator = replace(generator, preset=self.crystals)
        if self.space_groups is not None:
            named = self.space_groups in ("natural", "uniform")
            groups = self.space_groups if named else tuple(parse_groups(self.space_groups))
            generator = replace(generator, space_groups=groups)
        if self.structure_types is not None:
            generator = replace(generator, structure_types=read_types(self.structure_types))
        if self.verification is not None:
            generator = replace(generator, verification=self.verification)
        if self.ordering is not None:
            generator = replace(generator, ordering=self.ordering)
        if self.min_structures is not None:
            generator = replace(generator, min_structures=self.min_structures)
        return simulation, generator


def check_asked(path: Path, asked: Asked) -> tuple[int, int]:
    """Make sure that `open_spool` could do what is asked, and make nothing; return rows of a shard, points of a row.

    Raises:
        SpoolError, XrdError: as `open_spool`.

    """
    if (path / "spool.json").exists():
        spool = _going_on(path, asked)
        return int(spool.configuration["rows_per_shard"]), spool.grid.n_points
    new, _ = _new(path, asked)
    return new.rows_per_shard, new.simulation.grid.n_points


def open_spool(path: Path, asked: Asked) -> Spool:
    """Go on with the spool that is there, or make one.

    Raises:
        SpoolError: the spool was made with something else than was asked for, or the folder is not a spool.
        XrdError: wrong values, missing statistics.

    """
    if (path / "spool.json").exists():
        spool = _going_on(path, asked)
        console.say(f"{spool.path}: going on with the spool made there (seed {spool.root_seed})")
        return spool
    configuration, statistics = _new(path, asked)
    spool = Spool.create(path, configuration.to_dict(), asked.seed, {STATISTICS_FILE: statistics})
    console.say(f"{spool.path}: new spool, {len(spool.classes)} space groups, {spool.grid}, seed {spool.root_seed}")
    return spool


def _going_on(path: Path, asked: Asked) -> Spool:
    """Return the spool that is there, made with what is asked for."""
    _check_seed(asked)
    spool = Spool.open(path)
    made_with = ProductionConfig.from_dict(spool.configuration)
    wanted = asked.apply(made_with)
    if wanted.imperfections != made_with.imperfections:
        raise SpoolError(
            f"{spool.path}: spool made with other imperfections (preset {made_with.preset}) than those asked for "
            f"(preset {wanted.preset}); leave out --preset and --effects to go on with it, or name a new folder"
        )
    configuration = wanted.to_dict()
    if asked.statistics is not None:
        configuration["statistics_sha256"] = sha256_file(embedded.resolve(asked.statistics))
    spool.check(configuration, asked.seed, made_with.to_dict())
    return spool


def _new(path: Path, asked: Asked) -> tuple[ProductionConfig, Path]:
    """Return the configuration of a spool that is to be made, and its statistics."""
    _check_seed(asked)
    Spool.check_folder(path)
    statistics = embedded.resolve(DEFAULT_STATISTICS if asked.statistics is None else asked.statistics)
    if not statistics.is_file():
        raise MissingFileError(f"{statistics}: no statistics there; `xrdgen statistics build` makes them")
    simulation, generator = asked.settings(SimulationSettings(), GeneratorSettings())
    preset, imperfections = asked.imperfections("pure", Imperfections(), simulation.measurement)
    new = ProductionConfig.build(
        statistics,
        simulation,
        generator,
        preset=preset,
        imperfections=imperfections,
        rows_per_shard=ROWS_PER_SHARD if asked.rows_per_shard is None else asked.rows_per_shard,
        engine="fast" if asked.engine is None else asked.engine,
        sizes_per_crystal=1 if asked.sizes_per_crystal is None else asked.sizes_per_crystal,
    )
    return new, statistics


def _check_seed(asked: Asked) -> None:
    if asked.seed is not None and not 0 <= asked.seed < 1 << 64:
        raise InputError(f"seed {asked.seed}: must be 0 to 2^64 - 1")


def check_amounts(workers: int | None, samples: int | None) -> None:
    """Refuse impossible numbers, before a new spool is made for them.

    Raises:
        InputError: a negative number of workers, or less than one sample.

    """
    if samples is not None and samples < 1:
        raise InputError(f"samples {samples}: must be at least 1")
    if workers is not None and workers < 0:
        raise InputError(f"workers {workers}: must be 0 (this process alone) or more")


def produce(
    spool: Spool,
    *,
    workers: int | None = None,
    samples: int | None = None,
    marks: Watermarks | None = None,
    scheduler_file: Path | None = None,
    listen: str = LOCAL,
    factory: RowFactory | None = None,
) -> None:
    """Produce into a spool until the samples are complete, or for ever.

    Args:
        spool: where to.
        workers: 0 for none but this process; as many as there are cores by default.
        samples: total of the spool, over all its streams.
        marks: when to pause.
        scheduler_file: of a running Dask cluster, instead of local workers.
        listen: interface on which more workers can join.
        factory: makes the rows, a function of an installed module; by default what the spool's engine asks for.

    Raises:
        Interrupted: drained or stopped before the samples were complete.
        XrdError: wrong values, or what could not be mended.

    """
    check_amounts(workers, samples)
    if factory is None:
        factory = rows_of(ProductionConfig.from_dict(spool.configuration).engine)
    if spool.clear_stop():
        console.say("an earlier request to drain is cleared")
    with stop_on_signals() as stop:
        if factory is CrystalRows and scheduler_file is None:
            compile_once(spool, aloud=True)
        cluster = _executor(spool, workers, scheduler_file, listen)
        made = run_stream(spool, Stream.open(spool), cluster, factory, samples=samples, marks=marks, stop=stop)
    backlog = spool.backlog()
    console.say(f"{spool.path}: {made} samples made now, {backlog.samples} ready in {backlog.shards} shards")


def run_stream(
    spool: Spool,
    stream: Stream,
    cluster: AbstractContextManager[Executor],
    factory: RowFactory,
    *,
    samples: int | None,
    marks: Watermarks | None,
    stop: StopRequest,
    verify: Callable[[], None] = lambda: None,
) -> int:
    """Produce into one stream, which is let go afterwards.

    Args:
        spool: where to.
        stream: owned by this process.
        cluster: who works; entered here.
        factory: makes the rows.
        samples: total of the spool.
        marks: when to pause.
        stop: request to drain.
        verify: called once a second; raises where this process must not go on.

    Returns:
        Number of samples made.

    Raises:
        Interrupted: drained or stopped before the samples were complete.
        XrdError: wrong values, or what could not be mended.

    """
    coordinator = None
    try:
        with cluster as executor:
            coordinator = Coordinator(
                spool, stream, executor, factory, samples=samples, marks=marks, stop=stop, verify=verify
            )
            with console.progress("samples", samples) as advance:
                advance(coordinator.found)
                coordinator.run(advance)
    except KeyboardInterrupt:
        done = 0 if coordinator is None else coordinator.samples
        raise Interrupted(
            f"stopped at once after {done} samples; unfinished shards are thrown away and made again by "
            f"`xrdgen produce {spool.path}`"
        ) from None
    finally:
        stream.close()
    return coordinator.samples


def local_workers(spool: Spool, workers: int | None) -> int:
    """Return how many of the workers asked for have a core here; say where the others may come from."""
    wanted = usable_cores() if workers is None else workers
    started = min(wanted, usable_cores())
    if started < wanted:
        console.say(
            f"{wanted} workers asked for, {started} cores here: {started} local processes are started; "
            f"`xrdgen worker {spool.path}` on other machines or a SLURM array (--submit) adds the others"
        )
    return started


@contextmanager
def _executor(spool: Spool, workers: int | None, scheduler_file: Path | None, listen: str) -> Iterator[Executor]:
    """Choose who works."""
    if scheduler_file is not None:
        with running_cluster(scheduler_file) as executor:
            yield executor
    elif workers == 0:
        yield SerialExecutor()
    else:
        with local_cluster(local_workers(spool, workers), listen, spool) as executor:
            yield executor
