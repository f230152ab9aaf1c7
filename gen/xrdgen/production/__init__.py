"""Production: shards of simulated diffractograms into a spool, by one process or by many."""
