"""Experiments: a plan as data, a runner, stored results."""
