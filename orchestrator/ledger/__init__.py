"""What a study's devices were used for, and how long it will still take."""
