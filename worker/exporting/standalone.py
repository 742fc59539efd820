"""A program in a folder that needs nothing of ours: graphs, numbers, a script and a self-check."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.program import BrainProgram, Core, Port, Program, SinogramProgram, XraysProgram
from protocol.errors import UserError
from protocol.files import write_text
from worker.exporting.graphs import ONNX, PT2, TOLERANCE, write_graphs

SPEC, SCRIPT, CHECK = "program.json", "predict.py", "check"
NETWORK = Path(__file__).with_name("network.py")  # of a MONAI bundle
_COARSE = 6  # numbers along each side of an input that is checked, before it is made smooth
_SEED = 1


def write_program(program: Program, data: Any, folder: Path) -> dict[str, Any]:
    """Write everything that can be made, and compare it with the program.

    Args:
        program: on the CPU.
        data: the family's data settings.

    Returns:
        {"kind", "inputs", "outputs", "facts", "differences", "missing"}, see
        `worker.calls.export`.

    Raises:
        UserError: the model makes numbers that are not finite.
    """
    folder.mkdir(exist_ok=True)
    core = _with_examples(program)
    given = core.examples or ()
    with torch.no_grad():
        expected: Tensor = core.module(*given)[0]
    if not torch.isfinite(expected).all():
        raise UserError(
            "the model makes NaN or infinite numbers, nothing was written; choose another trial"
        )
    differences, missing = write_graphs(core, given, expected, folder)
    known: dict[str, Any] = {
        "kind": program.kind,
        "inputs": [asdict(port) for port in program.inputs],
        "outputs": [asdict(port) for port in program.outputs],
    }
    facts = _facts(program, data)
    if PT2 in missing and ONNX in missing:
        missing[SCRIPT] = f"it runs {PT2} or {ONNX}"
    else:
        shutil.copyfile(Path(__file__).with_name(SCRIPT), folder / SCRIPT)
        _write_arrays(core, expected, folder)
        spec = known | facts | {"traced": core.inputs, "loop": core.loop, "missing": missing}
        spec["tolerance"] = TOLERANCE
        write_text(folder / SPEC, json.dumps(spec, indent=1, ensure_ascii=False) + "\n")
    return known | {"facts": facts, "differences": differences, "missing": missing}


def _write_arrays(core: Core, expected: Tensor, folder: Path) -> None:
    """What `predict.py --check` compares, and what its loop needs."""
    (folder / CHECK).mkdir()
    stored: Mapping[str, Tensor] = {
        **{
            f"{CHECK}/{name}": one
            for name, one in zip(core.inputs, core.examples or (), strict=True)
        },
        f"{CHECK}/output": expected,
        **core.arrays,
    }
    for name, values in stored.items():
        np.save(folder / f"{name}.npy", values.contiguous().numpy())


def _with_examples(program: Program) -> Core:
    """The program's core with two samples; never a patient's, for the folder goes to others."""
    core = program.core()
    if core.examples is not None:
        return core
    generator = torch.Generator().manual_seed(_SEED)
    examples = [_example(port, generator) for port in program.inputs]
    if isinstance(program, BrainProgram):
        slices, mask = examples
        mask = (mask > 0.3).float()
        examples = [slices * mask, mask]
    return replace(core, examples=tuple(examples))


def _example(port: Port, generator: torch.Generator) -> Tensor:
    """Two smooth random inputs in the port's range, (2, …)."""
    coarse = torch.rand(2, port.shape[0], *(_COARSE,) * (len(port.shape) - 1), generator=generator)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(port.shape) - 1]
    share = F.interpolate(coarse, size=port.shape[1:], mode=mode, align_corners=True)
    low, high = port.low or 0.0, 1.0 if port.high is None else port.high
    return low + (high - low) * share


def _facts(program: Program, data: Any) -> dict[str, Any]:
    """What else a user of the numbers has to know, as JSON."""
    if isinstance(program, SinogramProgram):
        return {"geometry": vars(program.geometry)}
    if isinstance(program, XraysProgram):
        return {"voxel_size": program.voxel_size, "hu_window": program.hu_window}
    if isinstance(program, BrainProgram):
        return {key: getattr(data, key) for key in ("percentiles", "crop", "size", "mode")}
    return {}
