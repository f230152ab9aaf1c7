"""All benchmarks, one after the other: `make bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from xrdcommon import console

if __name__ == "__main__":
    for script in sorted(Path(__file__).parent.glob("bench_*.py")):
        console.say(f"== {script.stem.removeprefix('bench_')}")
        subprocess.run([sys.executable, str(script), *sys.argv[1:]], check=True)
