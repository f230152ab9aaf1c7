"""One production over many processes and machines: coordinator, workers, election, SLURM."""
