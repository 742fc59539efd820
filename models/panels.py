"""Keeping what a picture shows as numbers, for the gallery."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.pictures import Panel, Picture
from protocol.panels import HIGHEST, NAN, KeptPanel, KeptPicture, Panels, save_panels


def keep_panels(folder: Path, case: str, picture: Picture, epoch: int) -> Path:
    """Write the panels of a picture, but for differences, which follow from the others.

    Args:
        folder: made where it is not there.
        case: the picture's file stem.
        epoch: of the checkpoint that made it.

    Returns:
        The file.
    """
    packed = [_packed(panel, picture.window) for panel in picture.panels if not panel.difference]
    head = KeptPicture(
        case=case, title=picture.title, epoch=epoch, panels=[panel for panel, _ in packed]
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case}.panels"
    save_panels(path, Panels(head, [levels for _, levels in packed]))
    return path


def _packed(panel: Panel, window: tuple[float, float]) -> tuple[KeptPanel, bytes]:
    image = panel.image.astype(np.float64)
    known = image[np.isfinite(image)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    scaled = (np.clip(image, low, high) - low) * (HIGHEST / ((high - low) or 1.0))
    levels = np.where(np.isnan(image), NAN, np.rint(scaled)).astype("<u2")
    rows, columns = image.shape
    kept = KeptPanel(
        title=panel.title,
        role=panel.role,
        view=panel.view,
        rows=rows,
        columns=columns,
        low=low,
        high=high,
        window=panel.window or window,
    )
    return kept, levels.tobytes()
