"""How does it learn? Losses, one step spelled out, and checkpoints that survive anything."""
