"""How anomaly detection is judged: residuals, filtered and thresholded, beside known lesions.

Families take `evaluation` through `models.blocks.anomaly.family`; all it asks of them is
`reconstructor`.
"""
