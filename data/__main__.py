"""The command line of data sets; users call it as `./run_study.sh prepare …`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from orchestrator.errors import DataError, SettingsError, UserError

PROGRAM = "./run_study.sh prepare"
INTERRUPTED = 130

app = typer.Typer(
    name="prepare",
    help="Make a data set to study: from your own scans, or of phantoms.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Out = Annotated[Path, typer.Option("--out", help="Folder to make; it must not exist yet.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the data set at --out.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Photons = Annotated[
    float, typer.Option("--photons", help="Photons a cell counts without an object: the dose.")
]
Detectors = Annotated[
    int | None,
    typer.Option(
        "--detectors", help="Detector cells. [default: as fine as the image; 513 for 362]"
    ),
]


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
    from data.console import Display
    from data.prepare import PrepareSettings, prepare_lodopab

    settings = _checked(
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
        display.say(_next_command(out))


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
    from data.console import Display
    from data.destination import check_destination
    from data.phantoms import PhantomSettings, generate_phantoms

    settings = _checked(
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
        display.say(_next_command(out))


Model = TypeVar("Model", bound=BaseModel)


def _checked(model: type[Model], **values: object) -> Model:
    """The settings, or one sentence on the first option that is out of range.

    Raises:
        SettingsError: an option is out of range.
    """
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}: found {first['input']}; " if first["loc"] else "--"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(option + reason) from error


def _next_command(out: Path) -> str:
    return (
        f"Wrote {out}. To search on it:\n"
        f"  ./run_study.sh --study_name NAME --preset fbp_window --set data.root={out}"
    )


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
