"""Readers, a module for each family of formats; `recognise` says which one a file needs."""
