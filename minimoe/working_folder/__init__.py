"""A reader's working folder: what was copied into it, and what was done there. Needs no torch."""
