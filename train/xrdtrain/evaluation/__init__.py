"""How good a network is on test sets."""
