"""The commands that show what a study found."""
