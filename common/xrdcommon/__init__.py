"""What both stages share: errors, grids, sample identity, shards, the spool, fixed sets."""

import os

# spglib < 3 hides its errors behind None unless told otherwise; here they are exceptions (spglib.error.SpglibError)
os.environ.setdefault("SPGLIB_OLD_ERROR_HANDLING", "0")
