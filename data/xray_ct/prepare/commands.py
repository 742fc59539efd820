"""The commands that make data sets of X-ray/CT pairs."""

from __future__ import annotations

import typer

from data.prepare.fields import Target
from data.prepare.options import add_command
from data.xray_ct.prepare.settings import XrayCtPrepareSettings
from data.xray_ct.settings import XrayCtPhantomSettings

# Of phantoms that are asked for by themselves; those a study makes in passing are less.
PHANTOMS = {"size": 64, "xray_size": 64, "train": 64, "validation": 8, "test": 8}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, "xray_ct", xray_ct, XrayCtPrepareSettings)
    add_command(
        app, "xray_ct_phantoms", xray_ct_phantoms, XrayCtPhantomSettings, Target, defaults=PHANTOMS
    )


def xray_ct(settings: XrayCtPrepareSettings) -> None:
    """Turn CT scans into pairs of two X-rays and a volume.

    A cube around the body is resampled to voxels of equal sides; a front and a lateral X-ray are
    line integrals of its attenuation (Beer and Lambert), shown inverted and logarithmic. The
    split is by patient, or by random variants if there are too few.
    """
    from data.prepare.console import Display, next_command
    from data.xray_ct.prepare.prepare import prepare_xray_ct

    with Display(things="pairs") as display:
        prepare_xray_ct(settings, display.say, display.step)
        display.say(next_command(settings.out, "direct64"))


def xray_ct_phantoms(settings: XrayCtPhantomSettings, target: Target) -> None:
    """Make random chests with their X-rays, each of another patient.

    The same options make the same pairs everywhere.
    """
    from data.prepare.console import Display, next_command
    from data.xray_ct.prepare.phantoms import XRAY_CT_PHANTOMS
    from data.xray_ct.prepare.writer import check_xray_ct_destination

    check_xray_ct_destination(target.out, overwrite=target.overwrite)
    with Display(things="pairs") as display:
        XRAY_CT_PHANTOMS.make(target.out, settings, overwrite=target.overwrite, step=display.step)
        # What the preset would make is not to be made.
        display.say(next_command(target.out, "direct64_tiny", "data.generate=null"))
