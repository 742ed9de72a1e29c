"""Outputs of the authors' own networks, and the weights and images that gave them.

Each ``NAME.json`` holds what an authors' published network (``source``) computed once, in
float64, on a CPU, in eval mode: ``keys`` are its state-dict keys with shapes, ``logits`` ten of
the classes for each image, ``logit_mean`` and ``logit_std`` over all of them. ``fill`` makes the
same weights and images again, from a key and a shape alone.
"""
