"""How `data/wyckoff_permutations.json` was made: `python -m xrdgen.structures.permutations_recipe`.

The Euclidean normaliser of a space group (changes of origin and orientation that leave the group as it is) permutes
its Wyckoff positions. Source: pymatgen's table, which is that of the Bilbao Crystallographic Server (WYCKSETS).
"""

from __future__ import annotations

import json
from pathlib import Path

from xrdcommon.console import say
from xrdcommon.files import write_bytes
from xrdcommon.space_groups import N_GROUPS

PERMUTATIONS_PATH = Path(__file__).parent.parent / "data" / "wyckoff_permutations.json"


def permutations_from_pymatgen() -> dict[str, list[str]]:
    """Return, per group, the letters that a, b, c ... become under every element of the normaliser."""
    from pymatgen.analysis.prototypes import WYCKOFF_POSITION_RELAB_DICT

    result = {}
    for number in range(1, N_GROUPS + 1):
        texts = set()
        for mapping in WYCKOFF_POSITION_RELAB_DICT[str(number)]:
            texts.add("".join(mapping[code] for code in sorted(mapping, key=lambda code: (code == ord("A"), code))))
        result[str(number)] = sorted(texts)
    return result


if __name__ == "__main__":
    content = permutations_from_pymatgen()
    write_bytes(PERMUTATIONS_PATH, (json.dumps(content, separators=(",", ":")) + "\n").encode())
    say(f"{PERMUTATIONS_PATH}: {sum(map(len, content.values()))} permutations")
