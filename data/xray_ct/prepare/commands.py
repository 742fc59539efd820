"""The commands that make data sets of X-ray/CT pairs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data.prepare.options import Out, Overwrite, Seed, checked, next_command
from protocol.errors import DataError


class Layout(StrEnum):
    """How pairs lie on disk."""

    diffx2ct = "diffx2ct"
    nifti_png = "nifti_png"
    x2ct_gan = "x2ct_gan"


class Geometry(StrEnum):
    """How X-rays go."""

    parallel = "parallel"
    cone = "cone"


LayoutOption = Annotated[
    Layout,
    typer.Option(
        "--layout",
        help="`diffx2ct`: torch tensors; `nifti_png`: NIfTI volumes and PNG views, a folder a "
        "case; `x2ct_gan`: an HDF5 file a case.",
    ),
]
XraySize = Annotated[int, typer.Option("--xray_size", help="Rows and columns of an X-ray.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("xray_ct")(xray_ct)
    app.command("xray_ct_phantoms")(xray_ct_phantoms)


def xray_ct(
    source: Annotated[
        Path,
        typer.Option(
            "--source",
            help="A CT scan (.nii, .nii.gz), or a folder of such files or of DICOM slices.",
        ),
    ],
    out: Out,
    layout: LayoutOption = Layout.diffx2ct,
    size: Annotated[int, typer.Option("--size", help="Voxels of a volume's edge.")] = 256,
    xray_size: XraySize = 256,
    intensity_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--intensity_range",
            metavar="AIR BONE",
            help="For scans not in HU: the values of air and of dense bone, which become -1000 and "
            "3071 HU; soft tissue is about a quarter of the way, so choose BONE that yours is too.",
        ),
    ] = None,
    field_of_view: Annotated[
        float | None,
        typer.Option(
            "--field_of_view",
            metavar="MM",
            help="Edge of the cube around the body's middle. [default: the body's longest side "
            "and 3 % at both ends]",
        ),
    ] = None,
    geometry: Annotated[
        Geometry, typer.Option("--geometry", help="Parallel rays, or a cone from a point source.")
    ] = Geometry.parallel,
    source_isocentre: Annotated[
        float,
        typer.Option("--source_isocentre", metavar="MM", help="Cone: source to body's middle."),
    ] = 1000.0,
    source_detector: Annotated[
        float, typer.Option("--source_detector", metavar="MM", help="Cone: source to detector.")
    ] = 1500.0,
    detector_width: Annotated[
        float | None,
        typer.Option(
            "--detector_width",
            metavar="MM",
            help="Cone: of the square detector. [default: shows the cube's edge at its middle]",
        ),
    ] = None,
    energy: Annotated[
        float, typer.Option("--energy", metavar="KEV", help="Of the X-rays; matters for noise.")
    ] = 60.0,
    photons: Annotated[
        float | None,
        typer.Option(
            "--photons", help="That a pixel counts without a body, for noise. [default: no noise]"
        ),
    ] = None,
    split: Annotated[
        tuple[float, float, float],
        typer.Option("--split", metavar="TRAIN VALIDATION TEST", help="Shares of patients."),
    ] = (0.7, 0.15, 0.15),
    variants: Annotated[
        int | None,
        typer.Option(
            "--variants",
            help="Pairs made of each scan: the scan as it is, and turned, scaled, moved and "
            "mirrored at random. [default: 1, or as many as make 24 where there are fewer than "
            "three patients]",
        ),
    ] = None,
    series_are_patients: Annotated[
        bool,
        typer.Option(
            "--series_are_patients",
            help="DICOM: each series is another person, though they share a PatientID.",
        ),
    ] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Turn CT scans into pairs of two X-rays and a volume.

    A cube around the body is resampled to voxels of equal sides; a front and a lateral X-ray are
    line integrals of its attenuation (Beer and Lambert), shown inverted and logarithmic. Each
    NIfTI file is a patient; the split is by patient, or by random variants if there are too few.
    """
    from data.prepare.console import Display
    from data.xray_ct.prepare.plan import XrayCtPrepareSettings
    from data.xray_ct.prepare.prepare import prepare_xray_ct

    settings = checked(
        XrayCtPrepareSettings,
        source=source,
        out=out,
        layout=layout.value,
        size=size,
        xray_size=xray_size,
        intensity_range=intensity_range,
        field_of_view=field_of_view,
        geometry=geometry.value,
        source_isocentre=source_isocentre,
        source_detector=source_detector,
        detector_width=detector_width,
        energy=energy,
        photons=photons,
        split=split,
        variants=variants,
        series_are_patients=series_are_patients,
        seed=seed,
        overwrite=overwrite,
    )
    with Display(things="pairs") as display:
        prepare_xray_ct(settings, display.say, display.step)
        display.say(next_command(out, "direct64"))


def xray_ct_phantoms(
    out: Out,
    layout: LayoutOption = Layout.diffx2ct,
    size: Annotated[int, typer.Option("--size", help="Voxels of a volume's edge.")] = 64,
    xray_size: XraySize = 64,
    train: Annotated[int, typer.Option("--train", help="Pairs to train on.")] = 64,
    validation: Annotated[int, typer.Option("--validation", help="Pairs to validate on.")] = 8,
    test: Annotated[int, typer.Option("--test", help="Pairs to test on.")] = 8,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make random chests with their X-rays, each of another patient.

    The same options make the same pairs everywhere.
    """
    from data.prepare.console import Display
    from data.xray_ct.prepare.phantoms import generate_xray_ct_phantoms
    from data.xray_ct.prepare.writer import check_xray_ct_destination
    from data.xray_ct.settings import XrayCtPhantomSettings

    settings = checked(
        XrayCtPhantomSettings,
        layout=layout.value,
        size=size,
        xray_size=xray_size,
        train=train,
        validation=validation,
        test=test,
        seed=seed,
    )
    check_xray_ct_destination(out, overwrite=overwrite)
    with Display(things="pairs") as display:
        made = generate_xray_ct_phantoms(out, settings, overwrite=overwrite, progress=display.step)
        if not made:
            raise DataError(f"{out} was made by another process in the meantime; look there")
        # What the preset would make is not to be made.
        display.say(next_command(out, "direct64_tiny", "data.generate=null"))
