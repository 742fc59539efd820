"""Where families of people's own, written for version 0.1, look for a volume."""

from models.family import Volume as Volume
