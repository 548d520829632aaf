"""Measurements: costs of a model that is run, and the behaviour of its router."""
