"""Workers on many machines: their processes, where they meet a scheduler, TLS, SLURM."""
