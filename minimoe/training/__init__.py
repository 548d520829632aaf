"""Losses of the routers, the training loop, and checkpoints that are complete or absent."""
