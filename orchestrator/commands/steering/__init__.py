"""The commands by which a study is steered from another shell."""
