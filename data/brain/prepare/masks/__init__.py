"""Where the brain is in a volume that comes without a mask.

Others use `find.find_mask` and `find.doubts`.
"""
