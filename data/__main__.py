"""The command line of data sets; users call it as `./run_study.sh prepare …`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from data.prepare.options import Out, Overwrite, Seed, checked, next_command
from data.xray_ct.prepare import commands
from protocol.errors import DataError, UserError

PROGRAM = "./run_study.sh prepare"
INTERRUPTED = 130

app = typer.Typer(
    name="prepare",
    help="Make a data set to study: from your own scans, or of phantoms.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Photons = Annotated[
    float, typer.Option("--photons", help="Photons a cell counts without an object: the dose.")
]
Detectors = Annotated[
    int | None,
    typer.Option(
        "--detectors", help="Detector cells. [default: as fine as the image; 513 for 362]"
    ),
]


class Modality(StrEnum):
    """A contrast of brain MRI."""

    t1 = "t1"
    t2 = "t2"


class BrainMask(StrEnum):
    """How to find a brain."""

    auto = "auto"
    nonzero = "nonzero"
    threshold = "threshold"


class Lesions(StrEnum):
    """What to put into brains that are not trained on."""

    none = "none"
    synthetic = "synthetic"


@app.command()
def lodopab(
    source: Annotated[
        Path,
        typer.Option(
            "--source",
            help="A CT scan (.nii, .nii.gz), or a folder of such files or of DICOM slices.",
        ),
    ],
    out: Out,
    intensity_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--intensity_range",
            metavar="LO HI",
            help="For scans not in HU: the values of air and of dense bone, which become 0 and 1. "
            "Soft tissue is about 0.25 in LoDoPaB-CT; choose HI so that yours is too.",
        ),
    ] = None,
    image_size: Annotated[int, typer.Option("--image_size", help="Rows and columns.")] = 362,
    angles: Annotated[int, typer.Option("--angles", help="Projections over 180°.")] = 1000,
    detectors: Detectors = None,
    split: Annotated[
        tuple[float, float, float],
        typer.Option(
            "--split",
            metavar="TRAIN VALIDATION TEST",
            help="Shares of patients; of slices, if there are fewer than three patients.",
        ),
    ] = (0.8, 0.1, 0.1),
    gap: Annotated[
        int, typer.Option("--gap", help="Slices left out between splits of one scan.")
    ] = 5,
    field_of_view: Annotated[
        float | None,
        typer.Option(
            "--field_of_view",
            metavar="MM",
            help="Side of the square cut from the middle of each slice, which becomes the whole "
            "image. [default: the slice's longer side]",
        ),
    ] = None,
    photons: Photons = 4096.0,
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
    """Turn CT scans into low-dose sinograms and images in LoDoPaB-CT's layout.

    Axial slices are scaled to normalised attenuation, resampled to squares, projected on a finer
    grid than the image's and given the published photon noise (Leuschner et al. 2021). Each NIfTI
    file is a patient; the split is by patient, or by slabs of slices if there are too few. As in
    LoDoPaB-CT an image stands for 0.26 m, whatever the scan's own size.
    """
    from data.lodopab.prepare import PrepareSettings, prepare_lodopab
    from data.prepare.console import Display

    settings = checked(
        PrepareSettings,
        source=source,
        out=out,
        intensity_range=intensity_range,
        image_size=image_size,
        angles=angles,
        detectors=detectors,
        split=split,
        gap=gap,
        field_of_view=field_of_view,
        photons=photons,
        series_are_patients=series_are_patients,
        seed=seed,
        overwrite=overwrite,
    )
    with Display() as display:
        prepare_lodopab(settings, display.say, display.step)
        display.say(next_command(out))


@app.command()
def phantoms(
    out: Out,
    image_size: Annotated[int, typer.Option("--image_size", help="Rows and columns.")] = 128,
    angles: Annotated[int, typer.Option("--angles", help="Projections over 180°.")] = 256,
    detectors: Detectors = None,
    train: Annotated[int, typer.Option("--train", help="Training images.")] = 256,
    validation: Annotated[int, typer.Option("--validation", help="Validation images.")] = 32,
    test: Annotated[int, typer.Option("--test", help="Test images.")] = 32,
    photons: Photons = 4096.0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make random phantoms of chests and abdomens in LoDoPaB-CT's layout.

    The same options make the same images everywhere.
    """
    from data.lodopab.phantoms import PhantomSettings, generate_phantoms
    from data.lodopab.writer import check_destination
    from data.prepare.console import Display

    settings = checked(
        PhantomSettings,
        image_size=image_size,
        angles=angles,
        detectors=detectors,
        train=train,
        validation=validation,
        test=test,
        photons=photons,
        seed=seed,
    )
    check_destination(out, overwrite=overwrite)
    with Display() as display:
        if not generate_phantoms(out, settings, overwrite=overwrite, progress=display.step):
            raise DataError(f"{out} was made by another process in the meantime; look there")
        display.say(next_command(out))


@app.command()
def brain(
    source: Annotated[
        Path,
        typer.Option("--source", help="A brain volume (.nii, .nii.gz), or a folder of such files."),
    ],
    out: Out,
    modality: Annotated[
        Modality | None,
        typer.Option("--modality", help="Contrast to take. [default: what the files' names say]"),
    ] = None,
    mask_method: Annotated[
        BrainMask,
        typer.Option(
            "--mask_method",
            help="How to find the brain where there is no NAME_mask file: `nonzero` for volumes "
            "stripped of the skull before, `threshold` for whole heads, `auto` looks which it is.",
        ),
    ] = BrainMask.auto,
    split: Annotated[
        tuple[float, float, float],
        typer.Option("--split", metavar="TRAIN VALIDATION TEST", help="Shares of subjects."),
    ] = (0.7, 0.1, 0.2),
    folds: Annotated[
        int,
        typer.Option("--folds", help="Training and validation lists, for cross-validation."),
    ] = 1,
    variants: Annotated[
        int | None,
        typer.Option(
            "--variants",
            help="Random variants of each volume: poses, shapes, fields and contrasts. "
            "[default: 1, or as many as make 24 where subjects are too few to be split]",
        ),
    ] = None,
    lesions: Annotated[
        Lesions,
        typer.Option(
            "--lesions",
            help="`synthetic` paints labelled lesions into volumes that are not trained on, so "
            "that finding them can be measured.",
        ),
    ] = Lesions.none,
    lesion_radius: Annotated[
        tuple[float, float],
        typer.Option(
            "--lesion_radius",
            metavar="LOW HIGH",
            help="Of synthetic lesions, in mm; small ones are the most frequent.",
        ),
    ] = (3.0, 18.0),
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Turn brain MRI volumes into the brain-MRI layout of the anomaly families.

    Volumes are turned upright, resampled to 1 mm, stripped of the skull and cropped to the brain.
    A subject is the file's name up to its contrast, as in SUBJECT_t2.nii.gz; SUBJECT_mask and
    SUBJECT_seg files beside it are its brain mask and the segmentation of its lesions. The split
    is by subject; where those are too few, random variants of them stand in, loudly.
    """
    from data.brain.prepare.plan import BrainPrepareSettings
    from data.brain.prepare.prepare import prepare_brain
    from data.prepare.console import Display

    settings = checked(
        BrainPrepareSettings,
        source=source,
        out=out,
        modality=modality and modality.value,
        mask_method=mask_method.value,
        split=split,
        folds=folds,
        variants=variants,
        lesions=lesions.value,
        lesion_radius=lesion_radius,
        seed=seed,
        overwrite=overwrite,
    )
    with Display(things="volumes") as display:
        contrast = prepare_brain(settings, display.say, display.step)
        if lesions is Lesions.none:
            display.say("Without lesions nothing can be found in it: see --lesions synthetic.")
        display.say(next_command(out, "ddpm2d", f"data.mode={contrast}"))


@app.command("brain_phantoms")
def brain_phantoms(
    out: Out,
    shape: Annotated[
        tuple[int, int, int],
        typer.Option("--shape", metavar="ROWS COLUMNS SLICES", help="Voxels of a volume."),
    ] = (64, 64, 24),
    train: Annotated[int, typer.Option("--train", help="Volumes to train on, per fold.")] = 12,
    validation: Annotated[
        int, typer.Option("--validation", help="Volumes to validate on, per fold.")
    ] = 4,
    test: Annotated[int, typer.Option("--test", help="Healthy volumes to test on.")] = 4,
    lesions: Annotated[
        int,
        typer.Option("--lesions", help="Volumes with lesions to validate, and as many to test on."),
    ] = 4,
    folds: Annotated[int, typer.Option("--folds", help="Training and validation lists.")] = 2,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Make random brains in T1 and T2, some with lesions, in the brain-MRI layout.

    The same options make the same volumes everywhere. A volume is the middle 192 × 192 × 100 mm
    of a brain, whatever its shape: 192 192 100 is the published size.
    """
    from data.brain.prepare.phantoms import BrainPhantomSettings, generate_brain_phantoms
    from data.brain.prepare.writer import check_brain_destination
    from data.prepare.console import Display

    settings = checked(
        BrainPhantomSettings,
        shape=shape,
        train=train,
        validation=validation,
        test=test,
        lesions=lesions,
        folds=folds,
        seed=seed,
    )
    check_brain_destination(out, overwrite=overwrite)
    with Display(things="volumes") as display:
        if not generate_brain_phantoms(out, settings, overwrite=overwrite, progress=display.step):
            raise DataError(f"{out} was made by another process in the meantime; look there")
        sizes = [f"data.crop={list(shape)}", f"data.size={[one // 2 for one in shape]}"]
        sizes.append("data.generate=null")  # what the preset would make
        display.say(next_command(out, "ddpm2d_tiny", *sizes))


commands.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, without the program's name; returns the exit code.

    0 done, 2 something the user can mend, 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=[_underscored(word) for word in given], prog_name=PROGRAM)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if code == INTERRUPTED:
            print("interrupted; nothing was written", file=sys.stderr)
        return code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _underscored(word: str) -> str:
    """`--image-size=64` as `--image_size=64`."""
    option = re.match(r"--[a-z][a-z-]*", word)
    return (
        word
        if option is None
        else option[0].replace("-", "_").replace("__", "--", 1) + word[option.end() :]
    )


if __name__ == "__main__":
    sys.exit(main())
