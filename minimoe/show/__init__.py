"""Figures, text tables, terminal output and HTML pages, made of plain arrays and dicts.

This room imports no other room of the package. Tables and pages need neither torch nor matplotlib.
"""
