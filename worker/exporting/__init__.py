"""A trained model as a folder that stands alone: graphs, numbers, a script, a self-check."""
