"""Batches for training, from a growing spool or a fixed set, with a cursor that makes a resume exact."""
