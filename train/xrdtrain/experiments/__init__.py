"""Experiments as files: what the paper did, and studies of our own, each run by its name."""
