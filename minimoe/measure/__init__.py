"""Measurements of a model while it runs."""
