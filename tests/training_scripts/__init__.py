"""Training scripts that the tests launch, and how they launch them."""
