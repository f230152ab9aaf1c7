"""Crystals: the data class, the random generator and its kernels."""
