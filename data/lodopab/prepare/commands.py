"""The commands that make data sets in LoDoPaB-CT's layout."""

from __future__ import annotations

import typer

from data.lodopab.prepare.settings import LodopabPhantomSettings, LodopabPrepareSettings
from data.prepare.fields import Target
from data.prepare.options import add_command


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, "lodopab", lodopab, LodopabPrepareSettings)
    add_command(app, "phantoms", phantoms, LodopabPhantomSettings, Target)


def lodopab(settings: LodopabPrepareSettings) -> None:
    """Turn CT scans into low-dose sinograms and images in LoDoPaB-CT's layout.

    Axial slices are scaled to normalised attenuation, resampled to squares, projected on a finer
    grid than the image's and given the published photon noise (Leuschner et al. 2021). The
    split is by patient, or by slabs of slices if there are too few. As in LoDoPaB-CT an image
    stands for 0.26 m, whatever the scan's own size.
    """
    from data.lodopab.prepare.prepare import prepare_lodopab
    from data.prepare.console import Display, next_command

    with Display() as display:
        prepare_lodopab(settings, display.say, display.step)
        display.say(next_command(settings.out))


def phantoms(settings: LodopabPhantomSettings, target: Target) -> None:
    """Make random phantoms of chests and abdomens in LoDoPaB-CT's layout.

    The same options make the same images everywhere.
    """
    from data.lodopab.prepare.phantoms import LODOPAB_PHANTOMS
    from data.lodopab.prepare.writer import check_destination
    from data.prepare.console import Display, next_command

    check_destination(target.out, overwrite=target.overwrite)
    with Display() as display:
        LODOPAB_PHANTOMS.make(target.out, settings, overwrite=target.overwrite, step=display.step)
        display.say(next_command(target.out))
