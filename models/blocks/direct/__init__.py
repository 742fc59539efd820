"""From two X-rays to a CT volume in one pass, and from a small volume to a fine one."""
