"""The folder of a run: configuration, checkpoints, space kept for them."""
