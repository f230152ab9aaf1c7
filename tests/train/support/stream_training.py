"""A training on the Python stream: python stream_training.py SPOOL FOLDER [options]. Writes down what it was given.

FOLDER/given.<process> has shard and row of every sample, before it is "trained on"; FOLDER/checkpoint.pt the rows of
the lineage and the stream's state.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch
from xrdcommon.files import atomic_writer
from xrdtrain.api import open_spool_dataset

EVERY = 11


def main() -> None:
    """Train until killed, or until nothing is left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spool", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--on-crash", default="discard")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--shuffle", type=int, default=0)
    parser.add_argument("--pace", type=float, default=0.001, help="seconds that a step takes")
    parser.add_argument("--until-empty", action="store_true")
    asked = parser.parse_args()
    checkpoint = asked.folder / "checkpoint.pt"
    stream = open_spool_dataset(
        asked.spool,
        "run",
        fields=("identity",),
        wait=1.0 if asked.until_empty else True,
        shuffle=asked.shuffle,
        on_crash=asked.on_crash,
    )
    rows: list[list[int]] = []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        rows = state["rows"]
        stream.load_state_dict(state["stream"])
    log = os.open(asked.folder / f"given.{time.time_ns()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def save() -> None:
        with atomic_writer(checkpoint) as file:
            torch.save({"rows": rows, "stream": stream.state_dict()}, file)
        stream.commit()

    for number, (_, identities) in enumerate(stream.loader(batch_size=16, num_workers=asked.workers), 1):
        batch = identities[:, 1:].contiguous()
        os.write(log, batch.numpy().tobytes())
        rows += batch.tolist()
        time.sleep(asked.pace)
        if number % EVERY == 0:
            save()
    save()
    stream.close()


if __name__ == "__main__":
    main()
