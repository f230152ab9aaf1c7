"""`xrdtrain models` and `bench`."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer
from xrdcommon import console

from xrdtrain.precision import Precision


def models(
    network: Annotated[
        str | None,
        typer.Argument(
            metavar="[NETWORK]", help="A trained one: embedded:NAME, a .safetensors file, or a run.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: [{name, parameters}].")] = False,
    with_cost: Annotated[
        bool, typer.Option("--cost", help="Operations of a training step, and the producers that feed an H100.")
    ] = False,
    options: Annotated[
        bool, typer.Option("--options", help="What `xrdtrain fit --option NAME=VALUE` can change of them.")
    ] = False,
) -> None:
    """List the models and their parameters at 8501 points and 145 classes, or tell what a trained network is.

    --cost counts the operations of a step (forward and backward, two for a multiplication and an addition), the samples
    a second of an H100 that reaches 40 % of its 989 TFLOP/s in bf16, and the producer cores that make as many.

    \b
    Examples:
      xrdtrain models
      xrdtrain models --cost
      xrdtrain models --options
      xrdtrain models embedded:measured
    """
    from xrdtrain.inference.bundle import shipped
    from xrdtrain.models.catalogue import catalogue

    if options:
        _emit_options(as_json=as_json)
        return
    if network is not None:
        _emit_network(network, as_json=as_json)
        return
    entries = catalogue()
    if with_cost:
        _emit_costs([entry.name for entry in entries], as_json=as_json)
        return
    if as_json:
        console.emit_json([{"name": entry.name, "parameters": entry.parameters} for entry in entries])
        return
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        console.emit(f"{entry.name:<{width}}  {entry.parameters:>11,}  {entry.training}")
    for name in shipped():
        console.emit(f"trained, in this package: {name} (`xrdtrain models {name}` tells what it is)")


def _emit_network(name: str, *, as_json: bool) -> None:
    """Print what a trained network is."""
    from xrdtrain.inference.describe import describe, lines
    from xrdtrain.inference.load import load_run

    run = load_run(name)
    if as_json:
        console.emit_json(describe(run))
        return
    for line in lines(name, describe(run)):
        console.emit(line)


def _emit_options(*, as_json: bool) -> None:
    """Print the options of training."""
    from xrdtrain.models.options import OPTIONS

    if as_json:
        names = ("name", "value", "usual", "help")
        console.emit_json([{name: getattr(option, name) for name in names} for option in OPTIONS.values()])
        return
    for option in OPTIONS.values():
        console.emit(f"{option.name}={option.value}  (the name alone: {option.usual})")
        console.emit(textwrap.fill(option.help, 100, initial_indent="    ", subsequent_indent="    "))


def _emit_costs(names: list[str], *, as_json: bool) -> None:
    """Print what a step of each model costs."""
    from xrdtrain.models import get_preset
    from xrdtrain.models.cost import cost

    costs = {name: cost(get_preset(name)) for name in names}
    if as_json:
        console.emit_json(
            [
                {
                    "name": name,
                    "operations": item.operations,
                    "h100_samples_per_second": item.samples_per_second,
                    "h100_producer_cores": item.producers,
                }
                for name, item in costs.items()
            ]
        )
        return
    width = max(len(name) for name in names)
    console.emit(f"{'model':<{width}}  GFLOP a sample  samples/s of an H100  producer cores")
    for name, item in costs.items():
        numbers = f"{item.operations / 1e9:>14.3f}  {item.samples_per_second:>20,.0f}  {item.producers:>14,.1f}"
        console.emit(f"{name:<{width}}  {numbers}")


def bench(
    model: Annotated[
        str | None, typer.Option(help="See `xrdtrain models`; the one that suits the machine.", show_default=False)
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to measure.")] = 10.0,
    batch: Annotated[
        int | None, typer.Option(help="Samples of a step; default the model's.", show_default=False)
    ] = None,
    classes: Annotated[int, typer.Option(help="Space groups to tell apart.")] = 145,
    step: Annotated[float, typer.Option(help="Grid step from 5 to 90 degrees 2theta.")] = 0.01,
    precision: Annotated[Precision, typer.Option(help="auto: bf16 where the device has it.")] = Precision.AUTO,
    compile_model: Annotated[bool, typer.Option("--compile", help="With torch.compile.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how fast this machine trains a model, and the share of its matrix-product rate that this reaches.

    \b
    Examples:
      xrdtrain bench
      xrdtrain bench --model resnet-50 --batch 145 --compile
    """
    from xrdcommon.grid import Grid

    from xrdtrain.fitting.bench import bench as measure
    from xrdtrain.models import default_preset

    found = measure(
        model or default_preset().name,
        seconds=seconds,
        grid=Grid(step=step),
        n_classes=classes,
        batch=batch,
        precision=precision,
        compiled=compile_model,
    )
    if as_json:
        console.emit_json(found.to_dict())
        return
    console.emit(
        f"{found.model}, {found.precision} on {found.device} ({found.threads} threads), batch {found.batch}: "
        f"{found.samples_per_second:,.0f} samples/s"
    )
    reached, possible = found.operations_per_second / 1e9, found.matrix_product_rate / 1e9
    console.emit(f"{reached:,.0f} GFLOP/s of {possible:,.0f} that a matrix product reaches here: {found.share:.2f}")
