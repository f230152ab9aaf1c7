"""Fixed sets: diffractograms that stay, read in any order (Zarr, or a folder of tars)."""
