"""Offline generation: real structures, statistics, synthetic crystals, diffraction, production."""
