"""Filtered backprojection as a differentiable operator, and the windows that can be learned.

Families take `fbp` and `window`; the rest is how the operator comes to be fast.
"""
