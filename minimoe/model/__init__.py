"""What is it? Attention, routing, dispatch, experts, and the transformer made of them."""
