"""What a network takes in: axis, mask, transform."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from xrdcommon.errors import FormatError, InputError
from xrdcommon.fields import SAMPLE_DTYPE, empty_samples
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement
from xrdtrain.inputs.axis import AxisChange, axis_within, check_covers
from xrdtrain.inputs.masking import RandomMask, measured_ranges, shown
from xrdtrain.inputs.spec import Channel, InputSpec, Transform
from xrdtrain.inputs.transform import Preparation

CPU = torch.device("cpu")
BOTH = (Channel.PATTERN, Channel.MASK)
RANGES = np.dtype([("range_first", "<f4"), ("range_last", "<f4")])


def test_specification_reads_back() -> None:
    spec = InputSpec(Measurement(Grid(5.0, 90.0, 0.02), 1.54), BOTH, Transform.SQUARE_ROOT)
    assert InputSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec.shape == (2, 4251)
    assert InputSpec(Measurement()).shape == (8501,)
    with pytest.raises(FormatError, match="another version"):
        InputSpec.from_dict({**spec.to_dict(), "transform": "logarithm"})
    for channels in ((), (Channel.MASK,), (Channel.MASK, Channel.PATTERN), (Channel.PATTERN, Channel.PATTERN)):
        with pytest.raises(InputError, match="channels"):
            InputSpec(Measurement(), channels)


def test_axis_of_a_step_within_a_grid() -> None:
    assert axis_within(Grid(5.0, 90.0, 0.01), 0.02) == Grid(5.0, 90.0, 0.02)
    assert axis_within(Grid(5.0, 90.0, 0.01), None) == Grid(5.0, 90.0, 0.01)
    assert axis_within(Grid(5.0, 90.0, 0.1), 0.02) == Grid(5.0, 90.0, 0.1)  # nothing finer than the source
    assert axis_within(Grid(5.0, 90.0, 0.01), 0.03) == Grid(5.0, 89.99, 0.03)
    assert axis_within(Grid(20.0, 25.0, 0.01), 0.02).n_points == 251


def test_equal_grids_are_not_touched() -> None:
    rows = torch.rand(3, 8501)
    assert AxisChange(Grid(), Grid())(rows) is rows


@pytest.mark.parametrize("axis", [Grid(5.0, 90.0, 0.02), Grid(7.13, 61.13, 0.05), Grid(10.005, 80.005, 0.01)])
def test_lines_keep_place_and_area(axis: Grid) -> None:
    """Gaussian lines, narrow ones too, have the same area and centre on another axis."""
    source, centre = Grid(), 35.17
    for fwhm in (0.06, 0.3):
        profile = np.exp(-4 * np.log(2) * ((source.two_theta - centre) / fwhm) ** 2)
        found = AxisChange(source, axis)(torch.from_numpy(profile[None].astype(np.float32)))[0].double().numpy()
        area = fwhm * np.sqrt(np.pi / np.log(2)) / 2
        assert found.sum() * axis.step == pytest.approx(area, rel=1e-3)
        assert (found * axis.two_theta).sum() / found.sum() == pytest.approx(centre, abs=2e-4)


def test_coarse_axis_against_exact_means() -> None:
    """A coarser axis has the mean of the straight lines between the source's points (refined numerically here)."""
    source, axis = Grid(5.0, 25.0, 0.1), Grid(5.0, 24.9, 0.35 - 0.35 + 0.1990 * 2)
    rows = np.random.default_rng(0).uniform(0, 1, (2, source.n_points)).astype(np.float32)
    found = AxisChange(source, axis)(torch.from_numpy(rows)).numpy()
    fine = np.linspace(5.0, 25.0, 2_000_001)
    for row, values in zip(rows, found, strict=True):
        line = np.interp(fine, source.two_theta, row)
        for point in range(0, axis.n_points, 7):
            near = np.abs(fine - axis.two_theta[point]) <= axis.step / 2
            assert values[point] == pytest.approx(line[near].mean(), abs=2e-5)


def test_source_must_cover_the_axis() -> None:
    network = Measurement(Grid(10.0, 80.0, 0.02))
    check_covers("x", Measurement(Grid(5.0, 90.0, 0.01)), network, "the network")
    with pytest.raises(InputError, match=r"in steps of 0\.05, but the network has .* in steps of 0\.02"):
        check_covers("x", Measurement(Grid(5.0, 90.0, 0.05)), network, "the network")
    with pytest.raises(InputError, match=r"x: 5 to 70 degrees .* the network has 10 to 80"):
        check_covers("x", Measurement(Grid(5.0, 70.0, 0.01)), network, "the network")
    with pytest.raises(InputError, match=r"wavelength 0\.7 Å"):
        check_covers("x", Measurement(Grid(), 0.7), network, "the network")


def test_hidden_ranges_depend_on_seed_and_number_alone() -> None:
    mask = RandomMask()
    drawn = mask.draw(5, 0, 1000)
    np.testing.assert_array_equal(mask.draw(5, 370, 200), drawn[370:570])
    assert (mask.draw(6, 0, 1000) != drawn).any()
    low, high, begin, end = drawn.T
    assert ((low >= 0) & (low <= begin) & (begin <= end) & (end <= high) & (high <= 1)).all()
    untouched = (low == 0) & (high == 1) & (begin == end)
    assert untouched.mean() == pytest.approx(0.5 + 0.5 / 8, abs=0.05)
    assert low.max() == pytest.approx(0.3, abs=0.01)
    assert (end - begin).max() == pytest.approx(0.1, abs=0.01)
    for wrong in ({"share": 1.5}, {"ends": 0.45, "gap": 0.1}, {"gap": -0.1}):
        with pytest.raises(InputError, match="masking"):
            RandomMask(**wrong)
    assert RandomMask.from_dict(json.loads(json.dumps(mask.to_dict()))) == mask


def test_records_without_a_range_have_the_whole_grid() -> None:
    grid = Grid(5.0, 90.0, 0.1)
    fields = [name for name in SAMPLE_DTYPE.names or () if not name.startswith("range_")]
    assert measured_ranges(np.zeros(3, SAMPLE_DTYPE)[fields], grid) is None
    records = np.array([(5.0, 90.0), (np.nan, np.nan)], RANGES)
    assert measured_ranges(records, grid) is None
    records = np.array([(5.0, 90.0), (12.0, np.nan)], RANGES)
    np.testing.assert_allclose(measured_ranges(records, grid), [[5.0, 90.0], [12.0, 90.0]])


def test_mask_is_zero_where_nothing_was_measured_and_the_rest_is_scaled_again() -> None:
    grid = Grid(5.0, 90.0, 0.1)
    spec = InputSpec(Measurement(grid), BOTH, Transform.SQUARE_ROOT)
    patterns = torch.rand(3, grid.n_points).half() * 0.5
    patterns[:, 10] = 1.0  # at 6 degrees, which the second row did not measure
    records = np.array([(5.0, 90.0), (12.0, 60.0), (5.0, 90.0)], RANGES)
    hidden = np.array([[0, 1, 0, 0], [0, 1, 0, 0], [0.0, 1.0, 0.5, 0.6]])
    x = Preparation(spec, grid)(patterns, CPU, records, hidden)
    assert x.shape == (3, 2, 851)
    angles = grid.two_theta
    expected = np.ones((3, 851))
    expected[1] = (angles > 11.95) & (angles < 60.05)
    expected[2] = ~((angles >= 47.5 - 1e-4) & (angles < 56.0 - 1e-4))
    np.testing.assert_array_equal(x[:, 1].numpy(), expected)
    assert (x[:, 0][expected == 0] == 0).all()
    np.testing.assert_allclose(x[:, 0].amax(dim=1), 1.0)
    torch.testing.assert_close(x[0, 0], patterns[0].float().sqrt())
    rest = patterns[1].float() * torch.from_numpy(expected[1])
    torch.testing.assert_close(x[1, 0], (rest / rest.max()).sqrt().float())
    # one channel: the same pattern without the mask
    alone = Preparation(InputSpec(Measurement(grid), transform=Transform.SQUARE_ROOT), grid)
    torch.testing.assert_close(alone(patterns, CPU, records, hidden), x[:, 0])


def test_nothing_hidden_is_a_cast_and_the_transform() -> None:
    grid = Grid(5.0, 90.0, 0.1)
    patterns = torch.rand(4, grid.n_points).half()
    plain = Preparation(InputSpec(Measurement(grid)), grid)(patterns, CPU, empty_samples(4))
    assert torch.equal(plain, patterns.float())
    rooted = Preparation(InputSpec(Measurement(grid), transform=Transform.SQUARE_ROOT), grid)(patterns, CPU)
    assert torch.equal(rooted, patterns.float().sqrt())
    assert shown(torch.arange(3.0), grid, None, np.array([[0.0, 1.0, 0.0, 0.0]])) is None
    assert (patterns == patterns).all()
