"""How data/maximal_subgroups.csv was made: `python -m xrdtrain.evaluation.subgroups_recipe`.

From the table of maximal subgroups that pymatgen holds (Bilbao Crystallographic Server; International Tables A1). A
subgroup of the same crystal class is klassengleich (k), another one translationengleich (t); those of the
same type, or of its mirror image, are left out.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import spglib
from xrdcommon.console import say
from xrdcommon.files import write_bytes
from xrdcommon.space_groups import N_GROUPS, enantiomorph, first_hall_number

from xrdtrain.evaluation.subgroups import SUBGROUPS_PATH


def crystal_class(number: int) -> str:
    """Return the point group of a space group."""
    record: Any = spglib.get_spacegroup_type(first_hall_number(number))
    return str(record.pointgroup_international)


def table_text() -> str:
    """Return the content of the file."""
    from pymatgen.symmetry.groups import SYMM_DATA

    classes = {number: crystal_class(number) for number in range(1, N_GROUPS + 1)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["group", "t", "k"])
    for number in classes:
        subgroups = sorted(
            {int(group) for group in SYMM_DATA["maximal_subgroups"][str(number)]} - {number, enantiomorph(number)}
        )
        kinds: dict[bool, list[str]] = {False: [], True: []}
        for group in subgroups:
            kinds[classes[group] == classes[number]].append(str(group))
        writer.writerow([number, " ".join(kinds[False]), " ".join(kinds[True])])
    return text.getvalue()


def main(arguments: list[str]) -> None:
    """Write the file that is shipped, or another one."""
    path = Path(arguments[0]) if arguments else SUBGROUPS_PATH
    write_bytes(path, table_text().encode())
    say(f"{path}: written")


if __name__ == "__main__":
    main(sys.argv[1:])
