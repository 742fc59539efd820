"""Commands that judge what was found, show it, and take it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.command_line.app import RUNS, RunsDir, StudyName, TrialOption, app, folder_of


@app.command()
def report(
    study_name: StudyName,
    out: Annotated[
        Path | None, typer.Option("--out", help="A .html file; else report.html of the study.")
    ] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Put all that a study found on one page, which needs no network; works while it runs."""
    from orchestrator.commands.showing.report import report_study

    report_study(folder_of(study_name, runs_dir), out)


@app.command()
def gallery(
    study_name: StudyName,
    trials: Annotated[
        str | None,
        typer.Option("--trials", metavar="3,7,best", help="Which ones; else the best few."),
    ] = None,
    case: Annotated[
        str | None,
        typer.Option(
            "--case",
            help="A sample's number, or a name such as validation_0003; else all kept ones.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="Of a number: train, validation or test.")
    ] = "validation",
    out: Annotated[
        Path | None, typer.Option("--out", help="A .html file; else gallery.html of the study.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Lay the same case, slice and window of several trials side by side, on a page."""
    from orchestrator.commands.showing.gallery import Wanted, show_gallery

    wanted = Wanted(trials=trials, case=case, split=split, out=out, device=device)
    show_gallery(folder_of(study_name, runs_dir), wanted)


@app.command()
def compare(
    study_name: Annotated[
        list[str], typer.Option("--study_name", metavar="A B …", help="The studies' names.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Also as a page: a .html file.")] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Say which of several studies has the better best, and by how much."""
    from orchestrator.commands.showing.compare import compare_studies

    compare_studies([folder_of(name, runs_dir) for name in study_name], out)


@app.command()
def dashboard(
    study_name: StudyName,
    port: Annotated[int, typer.Option("--port")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Serve optuna-dashboard with the study and its pictures."""
    from orchestrator.commands.dashboard import serve_dashboard

    raise typer.Exit(serve_dashboard(folder_of(study_name, runs_dir), host=host, port=port))


@app.command()
def visualize(
    study_name: StudyName,
    trial: TrialOption = "best",
    split: Annotated[str, typer.Option("--split", help="train, validation or test.")] = "test",
    samples: Annotated[int, typer.Option("--samples", min=1, help="Pictures to draw.")] = 4,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the pictures; else the trial's.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    curves: Annotated[
        bool,
        typer.Option(
            "--curves",
            help="Draw its losses and its objective over epochs instead, as they are now.",
        ),
    ] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Draw pictures from a trial's best checkpoint, and print its metrics on the whole split."""
    from orchestrator.commands.visualize import draw_curves, visualize_trial

    folder = folder_of(study_name, runs_dir)
    if curves:
        draw_curves(folder, trial, out=out)
        return
    visualize_trial(folder, trial, split=split, samples=samples, out=out, device=device)


@app.command()
def evaluate(
    study_name: StudyName,
    trial: TrialOption = "best",
    split: Annotated[str, typer.Option("--split", help="val or test.")] = "test",
    tune_postprocessing: Annotated[
        int | None,
        typer.Option(
            "--tune_postprocessing",
            min=1,
            help="Search thresholds, filters and time steps in so many trials on the validation "
            "split first, without training; for anomaly detection.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Judge a trial's best checkpoint case by case, with pictures of the best and the worst."""
    from orchestrator.commands.evaluate import evaluate_trial

    folder = folder_of(study_name, runs_dir)
    evaluate_trial(
        folder, trial, split=split, device=device, tune_postprocessing=tune_postprocessing
    )


@app.command()
def predict(
    study_name: StudyName,
    input_: Annotated[
        list[Path],
        typer.Option(
            "--input",
            metavar="PATH | FRONT LATERAL",
            help="A scan, or a folder of them: sinograms (.hdf5, .npy, LoDoPaB-CT's layout), "
            "brains (.nii.gz, .mgz, .nrrd, .mha, MR in DICOM), or pairs of X-rays.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The folder of results, or the file of the only one.")
    ],
    trial: TrialOption = "best",
    format_: Annotated[
        str | None,
        typer.Option("--format", help="hdf5, npy, nii.gz, nii, png or dicom, as the kind allows."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Of a folder in LoDoPaB-CT's layout; else test."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", help="The brain's, instead of NAME_mask beside it.")
    ] = None,
    mask_method: Annotated[
        str | None,
        typer.Option("--mask_method", help="Without a mask: auto, nonzero, threshold, deepbet."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=0, help="Of lesions, on the filtered residual; else `evaluate`'s."
        ),
    ] = None,
    voxel_size: Annotated[
        list[float] | None,
        typer.Option(
            "--voxel_size",
            metavar="MM | X Y Z",
            help="From right to left, front to back, head to feet: of the volumes that brains were "
            "trained on, or of the CT to write; else the training's.",
        ),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="Of CT volumes: int16 or float32.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make anew what is whole already.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    batch_size: Annotated[
        int | None,
        typer.Option("--batch_size", min=1, help="Samples at once; fewer where memory runs out."),
    ] = None,
    memory_gb: Annotated[
        float | None,
        typer.Option("--memory_gb", min=0.01, help="That may be taken; else the study's limit."),
    ] = None,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Reconstruct new scans with a trial's best checkpoint: images, volumes, lesions."""
    from orchestrator.commands.predict import Wanted, predict_command

    options = {
        "split": split,
        "mask": mask and str(mask.absolute()),
        "mask_method": mask_method,
        "threshold": threshold,
        "number": dtype,
    }
    wanted = Wanted(
        inputs=input_,
        out=out,
        format=format_,
        overwrite=overwrite,
        device=device,
        batch=batch_size,
        memory_gb=memory_gb,
        voxel_size=voxel_size or (),
        options=options,
    )
    raise typer.Exit(predict_command(folder_of(study_name, runs_dir), trial, wanted))


@app.command()
def infer(
    study_name: StudyName,
    input_: Annotated[
        list[Path],
        typer.Option(
            "--input",
            metavar="FRONT LATERAL",
            help="Two X-rays (.png, .dcm, .pt, .npy), the front view first, or one case folder.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The .nii.gz or .nii file to make.")],
    trial: TrialOption = "best",
    voxel_size: Annotated[
        list[float] | None,
        typer.Option(
            "--voxel_size",
            metavar="MM | X Y Z",
            help="Voxels' size from right to left, front to back and head to feet; else as in the "
            "model's training.",
        ),
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="int16 or float32.")] = "int16",
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Also draw its middle planes: a .png file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda:0, …")] = "cpu",
    runs_dir: RunsDir = RUNS,
) -> None:
    """Make a CT volume of two X-rays with a trial's best checkpoint."""
    from orchestrator.commands.infer import Wanted, infer_volume

    wanted = Wanted(
        inputs=input_,
        out=out,
        overwrite=overwrite,
        voxel_size=voxel_size or (),
        number=dtype,
        picture=picture,
        device=device,
    )
    infer_volume(folder_of(study_name, runs_dir), trial, wanted)


@app.command()
def export(
    study_name: StudyName,
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    trial: TrialOption = "best",
    layout: Annotated[
        Literal["folder", "monai_bundle"],
        typer.Option("--format", help="A plain folder, or a bundle for MONAI's tools."),
    ] = "folder",
    overwrite: Annotated[bool, typer.Option("--overwrite")] = False,
    runs_dir: RunsDir = RUNS,
) -> None:
    """Make a trial's model a folder that stands alone: graphs, weights, predict.py, model card."""
    from orchestrator.commands.export import export_command

    export_command(
        folder_of(study_name, runs_dir),
        trial=trial,
        out=out,
        overwrite=overwrite,
        layout=layout,
    )
