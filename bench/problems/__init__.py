"""What the cases compute: sizes, inputs, the least arithmetic and memory traffic, and the tolerance."""
