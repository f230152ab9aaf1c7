"""What samples and instruments do to a diffractogram: pure functions, their kernels, the parameters of a pattern."""
