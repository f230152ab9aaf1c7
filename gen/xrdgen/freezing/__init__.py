"""Fixed diffractograms of given structures."""
