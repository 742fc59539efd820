"""The commands that make data sets in the brain-MRI layout."""

from __future__ import annotations

import typer

from data.brain.prepare.settings import BrainPhantomSettings, BrainPrepareSettings
from data.prepare.fields import Target
from data.prepare.options import add_command


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, "brain", brain, BrainPrepareSettings)
    add_command(app, "brain_phantoms", brain_phantoms, BrainPhantomSettings, Target)


def brain(settings: BrainPrepareSettings) -> None:
    """Turn brain MRI volumes into the brain-MRI layout of the anomaly families.

    Volumes are turned upright, resampled to 1 mm, stripped of the skull and cropped to the brain.
    A subject is the file's name up to its contrast, as in SUBJECT_t2.nii.gz; SUBJECT_mask and
    SUBJECT_seg files beside it are its brain mask and the segmentation of its lesions. The split
    is by subject; where those are too few, random variants of them stand in, loudly.
    """
    from data.brain.prepare.prepare import prepare_brain
    from data.prepare.console import Display, next_command

    with Display(things="volumes") as display:
        contrast = prepare_brain(settings, display.say, display.step)
        if settings.lesions == "none":
            display.say("Without lesions nothing can be found in it: see --lesions synthetic.")
        display.say(next_command(settings.out, "ddpm2d", f"data.mode={contrast}"))


def brain_phantoms(settings: BrainPhantomSettings, target: Target) -> None:
    """Make random brains in T1 and T2, some with lesions, in the brain-MRI layout.

    The same options make the same volumes everywhere. A volume is the middle 192 × 192 × 100 mm
    of a brain, whatever its shape: 192 192 100 is the published size.
    """
    from data.brain.prepare.phantoms import BRAIN_PHANTOMS
    from data.brain.prepare.writer import check_brain_destination
    from data.prepare.console import Display, next_command

    check_brain_destination(target.out, overwrite=target.overwrite)
    with Display(things="volumes") as display:
        BRAIN_PHANTOMS.make(target.out, settings, overwrite=target.overwrite, step=display.step)
        shape = settings.shape
        sizes = [f"data.crop={list(shape)}", f"data.size={[one // 2 for one in shape]}"]
        sizes.append("data.generate=null")  # what the preset would make
        display.say(next_command(target.out, "ddpm2d_tiny", *sizes))
