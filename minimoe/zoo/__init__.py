"""Published models: their configurations, counts and weights."""
