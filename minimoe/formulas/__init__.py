"""Costs of a configuration by formula; no model is built and torch is not needed."""
