"""`xrdtrain` that first writes down what it is about to train on: python logged_fit.py LOG fit SPOOL ...

One line a row: samples of the lineage before the batch, shard, row. A rank of a larger world writes LOG.<rank>.
"""

from __future__ import annotations

import os
import sys

from xrdtrain.cli import main
from xrdtrain.data.batch import Batch
from xrdtrain.fitting.trainer import Trainer

log = os.open(f"{sys.argv.pop(1)}.{os.environ.get('RANK', '0')}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
step = Trainer._step


def logged(self: Trainer, batch: Batch) -> None:
    lines = [f"{self.samples} {sample['shard']} {sample['index']}\n" for sample in batch.samples]
    os.write(log, "".join(lines).encode())
    step(self, batch)


Trainer._step = logged  # type: ignore[method-assign]
main()
