"""A program's core as graphs: a `torch.export` archive and ONNX, each compared with the core."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from models.program import Core

PT2, ONNX = "model.pt2", "model.onnx"
TOLERANCE = {PT2: 1e-5, ONNX: 1e-4}  # of the output's range
NEEDED = ("onnx", "onnxscript", "onnxruntime")
_OPSET = 20  # resizes volumes by the same rule as torch

Run = Callable[[Sequence[Tensor]], Tensor]


def differs(found: Tensor, expected: Tensor) -> float:
    """The largest difference as a share of what is expected's range, as predict.py has it.

    The range counts as a hundredth of the largest value at least: what hardly varies is not known
    any better than that in single precision.
    """
    scale = torch.maximum(expected.max() - expected.min(), expected.abs().max() / 100)
    return float((found - expected).abs().max() / scale.clamp_min(1e-30))


def write_graphs(
    core: Core, given: Sequence[Tensor], expected: Tensor, folder: Path
) -> tuple[dict[str, float], dict[str, str]]:
    """Write model.pt2 and model.onnx.

    Args:
        core: what is traced, on the CPU.
        given: inputs of it, whose output is compared.
        expected: the core's own output of them.

    Returns:
        How far each that was made differs, as a share of the output's range; and of each that was
        not made, why, as a clause.
    """
    differences: dict[str, float] = {}
    missing: dict[str, str] = {}
    traced = _attempt(PT2, missing, lambda: _traced(core))
    if traced is None:
        return differences, missing | {ONNX: f"it is made of {PT2}"}
    makers: Mapping[str, Callable[[Path], Run]] = {
        PT2: lambda path: _saved_pt2(traced, path),
        ONNX: lambda path: _saved_onnx(traced, path),
    }
    lacking = [name for name in NEEDED if find_spec(name) is None]
    for name, make in makers.items():
        if name == ONNX and lacking:
            missing[ONNX] = f"{' and '.join(lacking)} not installed; scripts/setup.sh onnx does it"
            continue
        path = folder / name
        found = _attempt(name, missing, lambda make=make, path=path: make(path)(given))  # type: ignore[misc]
        if found is not None:
            off = differs(found, expected)
            if off <= TOLERANCE[name]:
                differences[name] = off
                continue
            missing[name] = f"its output would differ by {off:.2g} of its range"
        path.unlink(missing_ok=True)
    return differences, missing


def _attempt(name: str, missing: dict[str, str], make: Callable[[], Any]) -> Any:
    """What `make` gives; None, and the reason in `missing`, where it cannot be made."""
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the tracers, about themselves
            return make()
    except Exception as error:
        logging.getLogger(__name__).debug("%s cannot be made", name, exc_info=True)
        lines = str(error).strip().splitlines() or [""]
        missing[name] = f"{type(error).__name__}: {lines[0][:200]}"
        return None


def _traced(core: Core) -> ExportedProgram:
    """For a batch of any size."""
    assert core.examples is not None
    batch = Dim("batch", min=1)
    shapes = tuple({0: batch} for _ in core.examples)
    return torch.export.export(core.module, core.examples, dynamic_shapes=shapes)


def _saved_pt2(traced: ExportedProgram, path: Path) -> Run:
    torch.export.save(traced, path)
    module = torch.export.load(path).module()

    def run(given: Sequence[Tensor]) -> Tensor:
        found: Tensor = module(*given)[0]
        return found

    return run


def _saved_onnx(traced: ExportedProgram, path: Path) -> Run:
    import onnxruntime

    made = torch.onnx.export(traced, dynamo=True, verbose=False, opset_version=_OPSET)
    assert made is not None
    made.save(path)
    session = onnxruntime.InferenceSession(str(path))
    names = [port.name for port in session.get_inputs()]

    def run(given: Sequence[Tensor]) -> Tensor:
        feed = {name: one.numpy() for name, one in zip(names, given, strict=True)}
        return torch.from_numpy(session.run(None, feed)[0])

    return run
