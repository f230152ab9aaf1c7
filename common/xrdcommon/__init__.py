"""What both stages share: errors, grids, sample identity, shards, the spool, fixed sets."""
