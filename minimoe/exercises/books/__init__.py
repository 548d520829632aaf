"""The exercises of each notebook."""
