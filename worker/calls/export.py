"""`export` in the process that has torch: a checkpoint as files that need nothing of ours."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from protocol.errors import DataError, SettingsError
from worker.calls.opened import open_checkpoint
from worker.exporting.graphs import ONNX, PT2
from worker.exporting.standalone import NETWORK, SCRIPT, write_program
from worker.training.checkpoint import load_checkpoint

WEIGHTS = "model.safetensors"


def export(*, checkpoint: str, folder: str, bundle: bool = False) -> dict[str, Any]:
    """Write into `folder` what a program needs to run elsewhere, as far as it can be made.

    Args:
        bundle: also what MONAI's bundles have: the weights as torch stores them, and a network.

    Returns:
        {"parameters": how many, "kind": of the program or None, "inputs", "outputs": its ports,
        "facts": what else is to be known of them, "differences": {file: share of the output's
        range by which a graph differs}, "missing": {file: why it is not there}}.

    Raises:
        CheckpointError: the checkpoint is damaged or not of a trial.
        UserError: the model makes numbers that are not finite.
    """
    path, place = Path(checkpoint), Path(folder)
    weights: Mapping[str, Tensor] = load_checkpoint(path)["model"]
    # Cloned: safetensors refuses tensors that share memory.
    save_file({name: one.contiguous().clone() for name, one in weights.items()}, place / WEIGHTS)
    if bundle:
        torch.save(dict(weights), place / "model.pt")
        shutil.copyfile(NETWORK, place / NETWORK.name)
    answer: dict[str, Any] = {"parameters": sum(one.numel() for one in weights.values())}
    try:
        opened = open_checkpoint(path, "cpu")
        program = opened.family.program(opened.model).requires_grad_(False).eval()
    except (SettingsError, DataError) as error:
        none: dict[str, Any] = {"kind": None, "inputs": [], "outputs": [], "facts": {}}
        missing = dict.fromkeys((PT2, ONNX, SCRIPT), error.problem)
        return answer | none | {"differences": {}, "missing": missing}
    return answer | write_program(program, opened.family.data, place)
