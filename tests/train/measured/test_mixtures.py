"""What a gate learns about mixtures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from xrdcommon.errors import InputError
from xrdcommon.fields import empty_samples
from xrdcommon.grid import Grid
from xrdcommon.measurement import Measurement
from xrdtrain.inference.capture import captured, summarised
from xrdtrain.inference.mixtures import fit_detector, mix
from xrdtrain.models.presets import get_preset

GRID = Grid(5.0, 90.0, 0.1)
AXIS = Measurement(Grid(5.0, 90.0, 0.05), 1.5406)


def test_mixtures_are_measured_where_their_parts_are() -> None:
    random = np.random.default_rng(1)
    n, angles = 40, GRID.two_theta
    samples = empty_samples(n)
    samples["range_first"] = random.choice([np.nan, 20.0, 45.0], n)
    samples["range_last"] = random.choice([np.nan, 80.0, 50.0], n)
    patterns = np.zeros((n, len(angles)))
    for row in range(n):
        first = 5.0 if np.isnan(samples["range_first"][row]) else samples["range_first"][row]
        last = 90.0 if np.isnan(samples["range_last"][row]) else samples["range_last"][row]
        inside = np.flatnonzero((angles > first) & (angles < last))
        patterns[row, random.choice(inside, 3)] = random.uniform(0.2, 1.0, 3)
    mixed, records = mix(patterns, samples, GRID, 200, random)
    assert np.allclose(mixed.max(axis=1), 1.0)
    width = records["range_last"] - records["range_first"]
    assert width.min() >= 0.3 * 85.0  # no two patterns that have next to nothing in common
    assert len(np.unique(width)) > 3
    lines = patterns > 0
    parts = np.array([[(row[lines[k]] > 0).all() for k in range(n)].count(True) for row in mixed])
    assert parts.min() >= 2  # two whole patterns at least
    assert parts.max() >= 4


def test_mixtures_of_whole_patterns_have_comparable_shares() -> None:
    random = np.random.default_rng(2)
    patterns = np.eye(6)[:, :].repeat(5, axis=1) * np.array([[1.0], [0.1], [1.0], [0.5], [0.01], [1.0]])
    grid = Grid(5.0, 34.0, 1.0)
    mixed, records = mix(patterns, empty_samples(6), grid, 50, random)
    areas = mixed.reshape(50, 6, 5).sum(axis=2)
    present = areas > 0
    assert set(present.sum(axis=1)) == {2, 3, 4}
    assert np.where(present, areas, np.inf).min(axis=1) == pytest.approx(areas.max(axis=1), rel=0.51)
    assert np.isnan(records["range_first"]).all()


def test_detector_tells_what_it_can_and_keeps_its_false_alarms() -> None:
    random = np.random.default_rng(3)
    size = (4000, 12)
    single, judged = random.normal(size=size), random.normal(size=size)
    shift = np.zeros(12)
    shift[3] = 4.0
    mixed, others = random.normal(size=size) + shift, random.normal(size=size) + shift
    detector = fit_detector(*(x.astype(np.float32) for x in (single, mixed, judged, others)))
    assert np.abs(detector.weights).argmax() == 3
    assert detector.fires(judged.astype(np.float32)).mean() == pytest.approx(0.01, abs=0.001)
    fresh = random.normal(size=size).astype(np.float32)
    assert detector.fires(fresh).mean() == pytest.approx(0.01, abs=0.006)
    assert detector.caught == pytest.approx(0.955, abs=0.03)  # of a normal law beyond its 99 % quantile less 4


@pytest.mark.parametrize("model", ["patch-resnet", "resnet-10-small", "park-medium"])
def test_summaries_end_with_the_features(model: str) -> None:
    network = get_preset(model).spec(AXIS, (1, 2, 14)).build().eval()
    x = torch.rand(3, AXIS.grid.n_points)
    with torch.inference_mode(), captured(network) as last, summarised(network) as found:
        network(x)
        network(x[:2])
    assert [len(rows) for rows in found] == [3, 2]
    width = last[0].shape[1]
    np.testing.assert_array_equal(found[0][:, -width:], last[0])
    stages = getattr(network, "stages", ())
    assert (found[0].shape[1] > width) == bool(stages)
    if stages:
        outputs = []
        handle = network.get_submodule(stages[0]).register_forward_hook(lambda m, i, o: outputs.append(o))
        with torch.inference_mode():
            network(x)
        handle.remove()
        points = outputs[0].flatten(2)
        expected = torch.cat([points.mean(2), points.amax(2), points.std(2, correction=0)], dim=1)
        np.testing.assert_allclose(found[0][:, : expected.shape[1]], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_network_has_to_name_its_last_layer() -> None:
    network = torch.nn.Linear(3, 2)
    with pytest.raises(InputError, match="does not name its last layer"), summarised(network):  # type: ignore[arg-type]
        pass
