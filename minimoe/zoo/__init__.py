"""How do the real ones compare? Published configurations and figures, and weights in and out."""
