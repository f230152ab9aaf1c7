"""A trained network at work: load it, rank space groups."""
