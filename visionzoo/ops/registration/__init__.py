"""Registration of two images without a network: matrices, similarities with gradients, and two optimisers."""
