"""Files that say how a study stands: that it is paused, that a rule has ended its search."""
