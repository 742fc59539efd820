"""What an exported folder says of itself: the model card, and MONAI's configuration."""
