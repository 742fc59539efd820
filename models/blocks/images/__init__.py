"""What families that make images and CT volumes share: U-Net, losses, metrics and pictures."""
