"""All benchmarks, one after the other: `make bench`, or `python -m tests.benchmarks [--quick] [--write-readme]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from xrdcommon import console

SCRIPTS = {"generation": ("--quick", "--write-readme", "--json"), "loading": ("--json",), "cluster": ("--json",)}
"""Benchmarks and the options they take; `generation` calls the others in this folder."""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    for option in SCRIPTS["generation"]:
        parser.add_argument(option, action="store_true")
    asked = {name for name, given in vars(parser.parse_args()).items() if given}
    for script, options in SCRIPTS.items():
        console.say(f"== {script}")
        passed = [option for option in options if option[2:].replace("-", "_") in asked]
        path = Path(__file__).with_name(f"bench_{script}.py")
        subprocess.run([sys.executable, str(path), *passed], check=True)
