"""Streaming training: models, data streams, fit, evaluation, prediction, report."""
