"""What is slow to compute, kept on disk for every process that asks for the same.

Formats use `array_cache.ArrayCache` in a `cache_folder.CacheFolder`, `places` for where that may
be, and `atomic_folder.build_folder`.
"""
