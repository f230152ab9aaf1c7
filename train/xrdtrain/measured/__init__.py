"""Measured diffractograms: what a file says, and how it is made ready for a network."""
