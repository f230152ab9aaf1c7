"""A page to drop a diffractogram on; it answers as `xrdtrain predict` does."""
