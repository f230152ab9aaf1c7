"""Space-group operations, Wyckoff positions and lattices in the project's standard setting."""
