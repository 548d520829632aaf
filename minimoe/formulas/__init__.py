"""Costs of a configuration by formula; no model is built and torch is not needed.

A number that is out of its range raises InputError.
"""
