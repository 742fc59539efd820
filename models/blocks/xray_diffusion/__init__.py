"""CT volumes from two X-rays by diffusion, patch by patch: losses, sampling and evaluation."""
