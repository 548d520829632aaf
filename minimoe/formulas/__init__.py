"""Costs of a configuration by formula: nothing is built or run, and torch is not needed."""
