"""The training loop: wait for a batch, predict it, learn from it; measure, checkpoint, stop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from xrdcommon import console
from xrdcommon.errors import DiskFullError, InputError, Interrupted
from xrdcommon.files import write_json
from xrdcommon.json_values import json_ready
from xrdcommon.signals import StopRequest

from xrdtrain.data.batch import Batch, Source
from xrdtrain.distributed import Ranks
from xrdtrain.evaluation import test_set_pass as evaluation
from xrdtrain.evaluation.fixed_test_sets import TestSet
from xrdtrain.fitting.agreement import NoBatch, Waiting, nothing_came
from xrdtrain.fitting.learner import Learner
from xrdtrain.fitting.local_producer import Producer
from xrdtrain.fitting.schedule import learning_rate
from xrdtrain.fitting.training_log import Fresh, Journal
from xrdtrain.inference.classifier import Precision, Ranking
from xrdtrain.models import NetworkSpec, Recipe
from xrdtrain.runs import checkpoint
from xrdtrain.runs.config import RunConfig
from xrdtrain.runs.reserved_space import Ballast

NOTE_SECONDS = 1.0

Ranked = tuple[NDArray[np.int64], Ranking]
"""Rows of a test set and their ranking."""


class Trainer:
    """A run from its first or last checkpoint to its end; every rank has one."""

    def __init__(
        self,
        *,
        config: RunConfig,
        recipe: Recipe,
        spec: NetworkSpec,
        run: Path,
        model: nn.Module,
        source: Source,
        tests: list[TestSet],
        ranks: Ranks,
        stop: StopRequest,
        producer: Producer | None,
        compiled: bool,
    ) -> None:
        self._config, self._recipe, self._spec, self._run = config, recipe, spec, run
        self._source, self._tests, self._ranks = source, tests, ranks
        self._stop, self._producer = stop, producer
        self._precision = Precision(config.precision)
        self._learner = Learner(
            config=config, recipe=recipe, spec=spec, model=model, grid=source.grid, ranks=ranks, compiled=compiled
        )
        self._fresh = Fresh(ranks.device)
        self._journal: Journal | None = None
        self.samples = 0
        self.epoch = 0
        self._epoch_samples = 0
        self._before = 0.0  # seconds of earlier starts
        self._started = time.monotonic()
        self._seconds = 0.0  # of training and waiting in this epoch
        self._waited = 0.0
        self._saved_at = 0
        self._mark = time.monotonic()
        self._ballast = Ballast(run)
        self._waiting = Waiting(
            config=config, source=source, ranks=ranks, stop=stop, producer=producer, elapsed=lambda: self.elapsed
        )
        self.finished = False

    @property
    def elapsed(self) -> float:
        """Seconds spent on this run, over all starts."""
        return self._before + time.monotonic() - self._started

    def resume(self, state: dict[str, Any] | None) -> None:
        """Begin anew, or exactly where a checkpoint was written."""
        cursor = None
        if state is not None:
            self._learner.restore(state)
            counters = state["counters"]
            self.samples, self.epoch = int(state["samples"]), int(counters["epoch"])
            self._epoch_samples = int(counters["epoch_samples"])
            self._before, self._seconds = float(counters["elapsed"]), float(counters["seconds"])
            self._waited = float(counters["waited"])
            self._saved_at = self.samples
            if self._ranks.leads:  # the sums of the other ranks are in these
                self._fresh.restore(state["fresh"])
            generators = state["random"]
            if self._ranks.rank < len(generators):
                checkpoint.restore_random_state(generators[self._ranks.rank], self._ranks.device)
            cursor = state["cursor"]
        if self._ranks.leads:
            self._journal = Journal(self._run, self.samples)
        self._source.start(cursor)
        self._started = time.monotonic()

    def train(self) -> dict[str, Any]:
        """Run to the end and return the content of evaluation.json.

        Raises:
            Interrupted: a signal came, or the producer died; a checkpoint was written.
            InputError: the loss is no longer finite.

        """
        self.finished = self._enough()
        while not self.finished:
            with self._progress() as advance:
                self._train_epoch(advance)
            if not self.finished:
                self._close_epoch()
        if not self.samples:
            raise nothing_came(self._config.source)
        return self._finish()

    def close(self) -> None:
        """Stop reading and close files."""
        self._source.close(done=self.finished)
        if self._journal is not None:
            self._journal.close()

    @contextmanager
    def _progress(self) -> Iterator[console.Advance]:
        """Show the epoch's progress on rank 0."""
        if not self._ranks.leads:
            yield lambda n=1, note="": None
            return
        total = self._config.eval_every
        if self._config.samples is not None:
            total = min(total, self._epoch_samples + max(0, self._config.samples - self.samples))
        with console.progress(f"epoch {self.epoch + 1}", total) as advance:
            if self._epoch_samples:
                advance(self._epoch_samples)
            yield advance

    def _train_epoch(self, advance: console.Advance) -> None:
        """Train until the epoch or the training ends."""
        self._mark = time.monotonic()
        noted = 0.0
        while self._epoch_samples < self._config.eval_every:
            begin = time.monotonic()
            batch = self._next_batch()
            self._waited += time.monotonic() - max(begin, self._mark)  # less what a checkpoint took
            if batch is None:
                self._seconds += time.monotonic() - self._mark
                self.finished = True
                return
            self._step(batch)
            now = time.monotonic()
            self._seconds, self._mark = self._seconds + now - self._mark, now
            note = ""
            if self._ranks.leads and now - noted > NOTE_SECONDS:
                noted = now
                n, loss, right, _ = self._fresh.peek().tolist()
                note = f"loss {loss / n:.3f}  top-1 {right / n:.1%}" if n else ""
            advance(self._config.batch, note)
            due = self._saved_at + self._config.checkpoint_every <= self.samples or self._waiting.agreed.save
            if self._enough():
                self.finished = True
                return
            if due and self._epoch_samples < self._config.eval_every:  # else the epoch's end writes it
                self._checkpoint()

    def _enough(self) -> bool:
        """Return whether the samples asked for are used."""
        return self._config.samples is not None and self.samples >= self._config.samples

    def _next_batch(self) -> Batch | None:
        """Wait for a batch; None when time is up or nothing more will come.

        Raises:
            Interrupted: a signal came, or the producer died; a checkpoint was written.

        """
        while True:
            found = self._waiting.next()
            if isinstance(found, Batch):
                return found
            if found is NoBatch.COVER:
                self._checkpoint()
                continue
            if found is NoBatch.STOPPED:
                self._interrupt(f"stopped by {self._stop.reason or 'another rank'}")
            if found is NoBatch.PRODUCER_DIED:
                self._producer_died()
            if found is NoBatch.NOTHING_LEFT and self._ranks.leads:
                console.say("xrdgen produce has ended and the spool is used up: ending the training here")
            return None

    def _producer_died(self) -> None:
        """Stop with a checkpoint."""
        self._checkpoint()
        if self._producer is not None:
            self._producer.check()
        raise Interrupted("the local producer died; see rank 0")

    def _interrupt(self, why: str) -> None:
        """Write a checkpoint and leave."""
        self._checkpoint()
        raise Interrupted(
            f"{why} after {self.samples:,} samples; checkpoint written, the same command goes on ({self._run})"
        )

    def _step(self, batch: Batch) -> None:
        """Predict a batch, note how well, and learn from it."""
        progress = 0.0
        if self._config.samples:
            progress = self.samples / self._config.samples
        if self._config.max_time:
            progress = max(progress, self._waiting.agreed.elapsed / self._config.max_time)
        rate = learning_rate(self._recipe.schedule, self._config.learning_rate, self.samples, progress)
        self._fresh.add(*self._learner.step(batch, rate, self.samples))
        self._source.used(batch)
        self.samples += self._config.batch
        self._epoch_samples += self._config.batch

    def _rank_tests(self, limit: int | None) -> list[Ranked]:
        """Rank all test sets, or up to `limit` patterns of each."""
        return [
            evaluation.rank_test_set(
                self._learner.shown,
                test,
                ranks=self._ranks,
                precision=self._precision,
                spec=self._spec.input,
                limit=limit,
            )
            for test in self._tests
        ]

    def _close_epoch(self, rankings: list[Ranked] | None = None) -> None:
        """Measure, write the record and a checkpoint.

        Raises:
            InputError: loss or weights are not finite; the last good checkpoint stays.

        """
        self._check_sound()
        self.epoch += 1
        n, loss, right1, right5 = self._ranks.total(self._fresh.sums()).tolist()
        n = n or math.nan  # an epoch so short that every pattern was mixed says nothing of fresh ones
        classes = self._source.classes
        rankings = self._rank_tests(evaluation.PER_EPOCH) if rankings is None else rankings
        tests = {
            test.name: evaluation.brief(test, rows, ranking, classes)
            for test, (rows, ranking) in zip(self._tests, rankings, strict=True)
        }
        first = next(iter(tests.values()), None)
        backlog = self._source.backlog() if self._ranks.leads else None
        for values in tests.values():
            values["gap"] = right1 / n - values["top1"]
        if self._journal is not None:
            crashes = self._source.crashes()
            self._write_record(
                self._journal,
                {
                    "epoch": self.epoch,
                    "samples": self.samples,
                    "seconds": self.elapsed,
                    "loss": loss / n,
                    "top1": right1 / n,
                    "top5": right5 / n,
                    "tests": tests,
                    "gap": None if first is None else right1 / n - first["top1"],
                    "learning_rate": self._learner.rate,
                    "samples_per_second": self._epoch_samples / self._seconds if self._seconds else 0.0,
                    "wait_fraction": min(1.0, self._waited / self._seconds) if self._seconds else 0.0,
                    "backlog_samples": None if backlog is None else backlog.samples,
                    "backlog_shards": None if backlog is None else backlog.shards,
                    "replayed": crashes.replayed,
                    "discarded": crashes.discarded,
                },
            )
        self._epoch_samples, self._seconds, self._waited = 0, 0.0, 0.0
        self._checkpoint()

    def _write_record(self, journal: Journal, record: dict[str, Any]) -> None:
        """Write a line of metrics; on a full disk with a byte of the space kept for the checkpoint that follows."""
        try:
            journal.write(record)
        except DiskFullError as error:
            self._ballast.give_up(error)
            journal.keep_until(self.samples - 1)
            journal.write(record)

    def _checkpoint(self) -> None:
        """Write a checkpoint, unless nothing was trained yet; what it covers is then deleted from the spool.

        Raises:
            InputError: loss or weights are not finite; the last good checkpoint stays.

        """
        if not self.samples:
            return
        self._check_sound()
        generators = self._ranks.gather(checkpoint.random_state(self._ranks.device))
        cursor = {**self._source.cursor(), "step": self.samples}
        sums = self._ranks.total(self._fresh.peek().clone())
        if self._ranks.leads:
            self._source.verify()
            state = {
                "network": self._spec.to_dict(),
                **self._learner.state(),
                "counters": {
                    "epoch": self.epoch,
                    "epoch_samples": self._epoch_samples,
                    "elapsed": self.elapsed,
                    "seconds": self._seconds,
                    "waited": self._waited,
                    "finished": self.finished,
                },
                "random": generators,
                "cursor": cursor,
                "fresh": {**self._fresh.state(), "sums": sums},
            }
            self._save(state)
        self._source.covered(self.samples)
        self._ranks.from_leader(None)
        self._saved_at = self.samples
        self._waiting.saved = self._mark = time.monotonic()

    def _check_sound(self) -> None:
        """Make sure, on every rank alike, that a checkpoint would be worth keeping.

        Raises:
            InputError: loss or weights are not finite.

        """
        loss = bool(torch.isfinite(self._fresh.peek()).all())
        sound = loss and self._learner.is_finite()
        if not any(self._ranks.largest(float(not sound))):
            return
        self.finished = False  # shards behind the last good checkpoint stay claimed, to be used again
        kept = checkpoint.checkpoints(self._run / "checkpoints")
        rate = f"a --learning-rate below {self._config.learning_rate:g}"
        what = "weights are" if loss else "loss is"
        raise InputError(
            f"training diverged: the {what} not finite after {self.samples:,} samples; "
            + (
                f"the last good checkpoint is {kept[-1]}: the same command with {rate} goes on from it"
                if kept
                else f"start again with {rate}"
            )
        )

    def _save(self, state: dict[str, Any]) -> None:
        """Write the file; the space kept for it is given up where it must be, and kept again for the next."""
        folder = self._run / "checkpoints"
        try:
            path = checkpoint.save(folder, self.samples, state)
        except DiskFullError as error:
            self._ballast.give_up(error)
            path = checkpoint.save(folder, self.samples, state)
        self._ballast.make(path.stat().st_size)

    def _finish(self) -> dict[str, Any]:
        """Measure everything on all patterns and write the evaluation."""
        rankings = self._rank_tests(None)
        if self._epoch_samples:
            self._close_epoch(rankings)
        else:
            self._checkpoint()
        results: dict[str, Any] = {}
        if self._ranks.leads:
            folder = self._run / "evaluation"
            classes = self._source.classes
            arrays = {
                test.name: evaluation.predictions(test, ranking, classes)
                for test, (_, ranking) in zip(self._tests, rankings, strict=True)
            }
            if self.samples:
                own = "training" if self._source.is_fixed else "synthetic"
                arrays[own] = self._fresh.recent(classes)
            for name, content in arrays.items():
                evaluation.write_predictions(folder / f"{name}.npz", content)
                results[name] = evaluation.measure(content)
            write_json(self._run / "evaluation.json", json_ready(results))
        return results
