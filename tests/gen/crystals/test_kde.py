"""Density estimates: bandwidths as scipy and statsmodels choose them, draws from exactly the estimated density."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr
from statsmodels.nonparametric.kernel_density import KDEMultivariateConditional
from xrdgen.crystals import kde, kde_kernels
from xrdgen.crystals.settings import GeneratorSettings
from xrdgen.crystals.tables import SamplerTables, sampler_tables
from xrdgen.statistics.model import Statistics
from xrdgen.symmetry import lattice_kernels

statsmodels_announces = pytest.mark.filterwarnings("ignore:After 0.17 or January 2028:FutureWarning")

SYSTEMS = {"triclinic": 0, "monoclinic": 1, "orthorhombic": 2, "tetragonal": 3, "trigonal": 4, "hexagonal": 5}


@pytest.fixture(scope="module")
def support() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """V_atomic (ascending) and density factors of a group, correlated and skewed as real ones are."""
    rng = np.random.default_rng(3)
    v_atomic = np.sort(rng.lognormal(6.0, 0.9, 300))
    return v_atomic, 0.9 + 0.3 * np.log10(v_atomic / 100) + rng.gamma(2.0, 0.15, 300)


def mixture_cdf(
    factor: float | NDArray[np.float64],
    v: float,
    support: tuple[NDArray[np.float64], NDArray[np.float64]],
    bandwidth_v: float,
    bandwidth_f: float,
) -> NDArray[np.float64]:
    """Evaluate the conditional distribution by brute force."""
    z = (v - support[0]) / bandwidth_v
    weights = np.exp(-0.5 * (z**2 - (z**2).min()))
    return ndtr((np.atleast_1d(factor)[:, None] - support[1]) / bandwidth_f) @ weights / weights.sum()


@statsmodels_announces
def test_bandwidths_are_the_normal_reference_of_statsmodels(
    support: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    v_atomic, factor = support
    reference = KDEMultivariateConditional([factor], [v_atomic], "c", "c", bw="normal_reference")
    assert kde.normal_reference(factor, v_atomic) == pytest.approx(reference.bw, rel=1e-12)


@statsmodels_announces
def test_the_mixture_is_the_density_of_statsmodels(
    support: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    v_atomic, factor = support
    reference = KDEMultivariateConditional([factor], [v_atomic], "c", "c", bw="normal_reference")
    bandwidth_f, bandwidth_v = reference.bw
    at = np.linspace(0.5, 2.5, 9)
    for v in np.quantile(v_atomic, [0.1, 0.5, 0.95]):
        expected = reference.cdf(at[:, None], np.full((9, 1), v))
        assert mixture_cdf(at, v, support, bandwidth_v, bandwidth_f) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("where", ["low", "median", "above all"])
def test_density_factors_of_logarithms_follow_the_conditional_density(
    where: str, support: tuple[NDArray[np.float64], NDArray[np.float64]], stream: NDArray[np.uint64]
) -> None:
    """Brute force in logarithms; with a bound, the truncated distribution; never a factor of 0 or less."""
    v_atomic, factor = support
    bandwidth_f, bandwidth_v = kde.log_reference(factor, v_atomic)
    v = {"low": v_atomic[5], "median": float(np.median(v_atomic)), "above all": v_atomic[-1] * 1.5}[where]
    smallest = 1.1
    logs = (np.log(v_atomic), np.log(factor))
    drawn, redrawn = np.transpose(
        [
            kde_kernels.draw_density_factor(stream, *logs, bandwidth_v, bandwidth_f, v, smallest, True)
            for _ in range(20_000)
        ]
    )
    cut = mixture_cdf(np.log(smallest), np.log(v), logs, bandwidth_v, bandwidth_f)

    def truncated(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return (mixture_cdf(np.log(at), np.log(v), logs, bandwidth_v, bandwidth_f) - cut) / (1 - cut)

    assert stats.kstest(drawn, truncated).pvalue > 0.001
    share = redrawn.sum() / (redrawn.sum() + 20_000)
    assert abs(share - cut[0]) < 5 * np.sqrt(cut[0] * (1 - cut[0]) / (redrawn.sum() + 20_000))


def test_robust_bandwidths() -> None:
    """Equal to the standard deviation for a normal distribution; blind to a tail that the latter sees."""
    rng = np.random.default_rng(5)
    normal = rng.normal(3.0, 0.2, 40_000)
    assert kde.robust_spread(normal) == pytest.approx(0.2, rel=0.02)
    tail = np.concatenate([normal, [30.0] * 400])
    assert np.std(tail) > 2.0
    assert kde.robust_spread(tail) == pytest.approx(0.2, rel=0.04)
    data = np.column_stack([normal[:200], 5.0 * normal[:200] + rng.normal(0, 1, 200)])
    cholesky = kde.robust_cholesky(data, np.array([0.0, 0.0]))
    covariance = cholesky @ cholesky.T
    spread = np.minimum(data.std(axis=0), stats.iqr(data, axis=0) / 1.349)
    assert np.sqrt(np.diag(covariance)) == pytest.approx(200 ** (-1 / 6) * spread, rel=1e-12)
    assert covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]) == pytest.approx(
        np.corrcoef(data, rowvar=False)[0, 1], rel=1e-12
    )
    for flat in (np.ones((1, 2)), np.ones((60, 2)), np.column_stack([normal[:9], normal[:9] * 2])):
        smallest = np.diag(kde.robust_cholesky(flat, np.array([0.5, 0.6])))
        assert (smallest >= [0.5, 0.6] - np.full(2, 1e-12)).all()


@pytest.mark.parametrize("where", ["low", "median", "gap", "above all", "far below"])
def test_density_factors_follow_the_conditional_density(
    where: str, support: tuple[NDArray[np.float64], NDArray[np.float64]], stream: NDArray[np.uint64]
) -> None:
    v_atomic, factor = support
    bandwidth_f, bandwidth_v = kde.normal_reference(factor, v_atomic)
    bandwidth_v /= 5.0  # narrow, so that there are gaps between large structures
    widest = np.diff(v_atomic).argmax()
    v = {
        "low": v_atomic[5],
        "median": float(np.median(v_atomic)),
        "gap": float(v_atomic[widest : widest + 2].mean()),
        "above all": v_atomic[-1] * 1.5,
        "far below": -50 * bandwidth_v,
    }[where]
    drawn = [
        kde_kernels.draw_density_factor(stream, v_atomic, factor, bandwidth_v, bandwidth_f, v, 0.0, False)[0]
        for _ in range(20_000)
    ]
    below_zero = mixture_cdf(0.0, v, support, bandwidth_v, bandwidth_f)

    def truncated(at: NDArray[np.float64]) -> NDArray[np.float64]:
        return (mixture_cdf(at, v, support, bandwidth_v, bandwidth_f) - below_zero) / (1 - below_zero)

    assert stats.kstest(drawn, truncated).pvalue > 0.01


def test_rare_neighbours_are_picked_with_their_weights(stream: NDArray[np.uint64]) -> None:
    """One point at the centre, 20,000 at 4.5 bandwidths: nearly every trial misses and the weights are summed."""
    v_atomic = np.sort(np.concatenate([[0.0], np.full(20_000, 4.5)]))
    picks = np.array([kde_kernels.pick_conditional(stream, v_atomic, 0.0, 1.0) for _ in range(4_000)])
    weight = 20_000 * np.exp(-(4.5**2) / 2)
    expected = 1 / (1 + weight)
    assert abs((picks == 0).mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / len(picks))


def test_factors_that_are_too_small_are_drawn_again_and_counted(stream: NDArray[np.uint64]) -> None:
    v_atomic, factor = np.array([100.0]), np.array([0.5])
    results = [
        kde_kernels.draw_density_factor(stream, v_atomic, factor, 1.0, 1.0, 100.0, 0.5, False) for _ in range(2_000)
    ]
    assert min(value for value, _ in results) > 0.5
    assert np.mean([rejected for _, rejected in results]) == pytest.approx(1.0, abs=0.15)  # half of all draws
    impossible = kde_kernels.draw_density_factor(stream, v_atomic, factor, 1.0, 0.01, 100.0, 9.0, False)
    assert impossible == (0.0, kde_kernels.MAX_REDRAWS)


@pytest.mark.parametrize("d", [1, 2, 4, 6])
def test_lattice_kernel_is_that_of_scipy(d: int) -> None:
    rng = np.random.default_rng(d)
    data = rng.normal(size=(80, d)) @ rng.normal(size=(d, d)) + 1.0
    cholesky = kde.scott_cholesky(data, np.full(d, 0.01))
    assert cholesky @ cholesky.T == pytest.approx(stats.gaussian_kde(data.T).covariance, rel=1e-9)


@pytest.mark.parametrize("data", [np.ones((1, 2)), np.ones((5, 2)), np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])])
def test_floors_keep_bandwidths_positive_where_there_is_no_spread(data: NDArray[np.float64]) -> None:
    cholesky = kde.scott_cholesky(data, np.array([0.01, 0.5]))
    assert np.linalg.eigvalsh(cholesky @ cholesky.T)[0] > 1e-5
    assert kde.normal_reference(data[:, 0] * 0 + 1.2, data[:, 1] * 0 + 700.0) == (
        kde.FACTOR_FLOOR,
        kde.ATOMIC_VOLUME_FLOOR,
    )


@pytest.fixture(scope="module")
def tables(statistics: Statistics) -> SamplerTables:
    """The kernels' arrays of the made-up statistics."""
    return sampler_tables(statistics, GeneratorSettings())


def drawn_cells(tables: SamplerTables, system: int, stream: NDArray[np.uint64], n: int) -> NDArray[np.float64]:
    """Draw cells of unit volume (n, 6)."""
    d = int(tables.n_free[system])
    support = tables.lattices[tables.lattice_start[system] : tables.lattice_start[system + 1], :d]
    cells = np.empty((n, 6))
    for cell in cells:
        kde_kernels.draw_unit_cell(
            stream,
            support,
            tables.cholesky[system, :d, :d],
            tables.cell_source[system],
            tables.cell_fixed[system],
            tables.logarithmic[1],
            cell,
        )
    return cells


@pytest.mark.parametrize("system", SYSTEMS)
def test_lattices_follow_the_density_of_scipy(
    system: str, statistics: Statistics, tables: SamplerTables, stream: NDArray[np.uint64]
) -> None:
    from xrdgen.symmetry.lattice import FREE_PARAMETERS, volume

    index = SYSTEMS[system]
    columns = list(FREE_PARAMETERS[system])
    drawn = drawn_cells(tables, index, stream, 5_000)
    reference = np.tile(tables.cell_fixed[index], (5_000, 1))
    resampled = stats.gaussian_kde(statistics.lattices_of(system)[:, columns].T).resample(5_000, seed=11).T
    for parameter in range(6):
        if tables.cell_source[index, parameter] >= 0:
            reference[:, parameter] = resampled[:, tables.cell_source[index, parameter]]
    reference[:, :3] /= np.cbrt([volume(cell) for cell in reference])[:, None]
    for column in columns:
        assert stats.ks_2samp(drawn[:, column], reference[:, column]).pvalue > 0.005, column
    assert [volume(cell) for cell in drawn[:200]] == pytest.approx(np.ones(200), rel=1e-9)


def test_cubic_cells_are_unit_cubes(tables: SamplerTables, stream: NDArray[np.uint64]) -> None:
    assert drawn_cells(tables, 6, stream, 2).tolist() == [[1.0, 1.0, 1.0, 90.0, 90.0, 90.0]] * 2


@pytest.mark.parametrize(
    "cell",
    [
        [1.0, -1.0, 1.0, 90.0, 90.0, 90.0],
        [1.0, 1.0, 1.0, 90.0, 181.0, 90.0],
        [1.0, 1.0, 1.0, 150.0, 150.0, 150.0],
        [1.0, 1.0, 1.0, -90.0, 90.0, 90.0],
    ],
)
def test_impossible_cells_have_no_volume(cell: list[float], kernels_form: str) -> None:
    assert lattice_kernels.cell_volume(np.array(cell)) == 0.0
