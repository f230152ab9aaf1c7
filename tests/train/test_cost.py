"""Operations of a step, counted by hand for the paper's networks, and the speed that `xrdtrain bench` measures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from xrdcommon.errors import InputError
from xrdcommon.grid import Grid
from xrdtrain.fitting.bench import bench
from xrdtrain.inference.classifier import Precision
from xrdtrain.models import PRESETS, get_preset
from xrdtrain.models.cost import H100_BF16, cost


def test_operations_of_park_big_by_hand() -> None:
    """Multiplications of its layers, from the lengths of the paper's network: 8501, 1701, 850, 170, 56, 28, 9."""
    convolutions = 1701 * 100 * 80 + 170 * 50 * 80 * 80 + 28 * 25 * 80 * 80
    dense = 720 * 2300 + 2300 * 1150 + 1150 * 145
    forward = 2 * (convolutions + dense)
    # backward: once for the weights, once for the input, which the first layer does not need
    expected = 3 * forward - 2 * 1701 * 100 * 80
    assert cost(get_preset("park-big")).operations == pytest.approx(expected, rel=1e-12)


def test_larger_networks_cost_more_and_need_fewer_producers() -> None:
    costs = [cost(get_preset(name)) for name in ("resnet-10", "resnet-50", "resnet-101")]
    assert costs[0].operations < costs[1].operations < costs[2].operations
    assert costs[0].producers > costs[1].producers > costs[2].producers
    for item in costs:
        assert item.samples_per_second * item.operations == pytest.approx(0.4 * H100_BF16)


def test_the_command_lists_all(run_command: Any) -> None:
    done = run_command("xrdtrain", "models", "--cost", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert [item["name"] for item in listed] == list(PRESETS)
    assert all(item["operations"] > 1e6 for item in listed)
    assert "producer cores" in run_command("xrdtrain", "models", "--cost").stdout


def test_bench_measures(run_command: Any) -> None:
    options = "--model patch-resnet --seconds 0.5 --step 0.05 --batch 32 --json"
    done = run_command("xrdtrain", "bench", *options.split())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["share"] == pytest.approx(found["operations_per_second"] / found["matrix_product_rate"])
    assert 0.0 < found["share"] < 1.0
    assert found["samples_per_second"] > 1.0
    assert run_command("xrdtrain", "bench", "--model", "patch-resnett").returncode == 2


@pytest.mark.parametrize(("seconds", "batch", "classes"), [(0.0, 8, 10), (1.0, 0, 10), (1.0, 8, 1)])
def test_numbers_that_make_no_sense(seconds: float, batch: int, classes: int) -> None:
    with pytest.raises(InputError, match="must be"):
        bench(
            "patch-resnet",
            seconds=seconds,
            grid=Grid(step=0.05),
            n_classes=classes,
            batch=batch,
            precision=Precision.FP32,
            compiled=False,
        )
