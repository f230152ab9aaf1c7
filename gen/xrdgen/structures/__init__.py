"""Real crystal structures: reading, standardising, naming their families, splitting."""
