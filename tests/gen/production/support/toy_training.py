"""A training that learns nothing: its checkpoint is the list of identities it has consumed, 50 rows a step."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from xrdcommon.errors import MissingFileError
from xrdcommon.files import read_json, write_json
from xrdcommon.spool.consumer import start_consumer
from xrdcommon.spool.spool import Spool

ROWS_PER_STEP = 50


def main() -> None:
    """Consume until the samples are reached, resuming from the checkpoint."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spool", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--samples", type=int, required=True)
    arguments = parser.parse_args()
    try:
        state = read_json(arguments.checkpoint)
    except MissingFileError:
        state = {"step": 0, "used": {}, "consumed": []}
    consumer = start_consumer(Spool.open(arguments.spool), "toy")
    consumer.cover(state["used"], state["step"])
    while len(state["consumed"]) < arguments.samples:
        names = consumer.held() or consumer.claim(2)
        if not names:
            time.sleep(0.02)
            continue
        name = names[0]
        shard = consumer.load(name)
        assert shard is not None
        for first in range(state["used"].get(str(name), 0), name.rows, ROWS_PER_STEP):
            rows = shard.samples[first : first + ROWS_PER_STEP]
            state["consumed"] += [json.dumps([int(row[n]) for n in ("producer", "shard", "index")]) for row in rows]
            state["used"][str(name)] = first + len(rows)
            state["step"] += 1
            consumer.verify()
            write_json(arguments.checkpoint, state)
            consumer.cover(state["used"], state["step"])
        del state["used"][str(name)]
    consumer.release()


if __name__ == "__main__":
    main()
