"""cctbx in a process of its own: loaded after other compiled packages it crashes, whatever they are.

Reads one JSON request a line, writes one JSON answer a line:

    {"hall": ..., "cell": [6], "d_min": Å, "atoms": [[symbol, [x, y, z]], ...]}  ->  {}   the structure to work on
    {"repeats": n}                                                       ->  {"seconds": CPU seconds of one calculation}
    {"hkl": [[h, k, l], ...]}                                            ->  {"f": [|F|, ...]}
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from cctbx import crystal, miller, sgtbx, xray
from cctbx.array_family import flex


def main() -> None:
    """Answer until the input ends."""
    structure: Any = None
    d_min = 1.0
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {}
        if "hall" in request:
            group = sgtbx.space_group_info(f"Hall: {request['hall']}")
            symmetry = crystal.symmetry(unit_cell=tuple(request["cell"]), space_group_info=group)
            # an atom 0.5 Å from a special position would be moved there
            settings = crystal.special_position_settings(symmetry, min_distance_sym_equiv=1e-4)
            structure = xray.structure(special_position_settings=settings)
            for element, x in request["atoms"]:
                structure.add_scatterer(xray.scatterer(label=element, site=tuple(x), u=0.0, scattering_type=element))
            structure.scattering_type_registry(table="it1992")
            d_min = request["d_min"]
        elif "repeats" in request:
            begin = time.process_time()
            for _ in range(request["repeats"]):
                structure.structure_factors(d_min=d_min, algorithm="direct").f_calc()
            answer["seconds"] = (time.process_time() - begin) / request["repeats"]
        else:
            indices = flex.miller_index([tuple(hkl) for hkl in request["hkl"]])
            wanted = miller.set(structure, indices, anomalous_flag=False)
            calculated = wanted.structure_factors_from_scatterers(structure, algorithm="direct").f_calc()
            answer["f"] = [abs(value) for value in calculated.data()]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
