"""Predict with the model in this folder. It needs torch alone, or onnxruntime with --onnx.

python predict.py INPUT.npy … OUTPUT.npy   a file for each input that README.md names
python predict.py --check                  compare with the output stored beside the model
"""

import argparse
import ast
import ctypes
import json
import struct
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPEC = json.loads((HERE / "program.json").read_text(encoding="utf-8"))
TYPES = {"b1": "bool", "u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "i4": "int32"}
TYPES |= {"i8": "int64", "f2": "float16", "f4": "float32", "f8": "float64"}
AT_ONCE = {"brain": 8}  # samples; of others one, as they take much memory


class Torch:
    """model.pt2, and .npy files without NumPy, which torch can do without."""

    def __init__(self):
        warnings.filterwarnings("ignore", "Failed to initialize NumPy")
        import torch

        self.xp, self.module = torch, None

    def run(self, *given):
        if self.module is None:
            self.module = self.xp.export.load(HERE / "model.pt2").module()
        with self.xp.no_grad():
            return self.module(*given)[0]

    def read(self, path):
        data = Path(path).read_bytes()
        start = 12 if data[6] > 1 else 10
        (size,) = struct.unpack_from("<I" if start == 12 else "<H", data, 8)
        head = ast.literal_eval(data[start : start + size].decode("latin1"))
        kind = getattr(self.xp, TYPES[head["descr"].lstrip("<|")])
        values = self.xp.frombuffer(bytearray(data[start + size :]), dtype=kind)
        if head["fortran_order"]:
            return values.reshape(head["shape"][::-1]).permute(*range(len(head["shape"]))[::-1])
        return values.reshape(head["shape"])

    def write(self, path, values):
        values = values.contiguous()
        head = repr({"descr": "<f4", "fortran_order": False, "shape": tuple(values.shape)})
        head = head.ljust(117) + "\n"
        numbers = ctypes.string_at(values.data_ptr(), 4 * values.numel())
        Path(path).write_bytes(
            b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + head.encode() + numbers
        )

    def resized(self, values, size):
        resize = self.xp.nn.functional.interpolate
        values = values.reshape(-1, 2, *values.shape[-2:])
        return resize(values, size=size, mode="bilinear", antialias=True).clip(0, 1)


class Onnx:
    """model.onnx, with the NumPy that onnxruntime brings."""

    def __init__(self):
        import numpy
        import onnxruntime

        self.xp = numpy
        self.session = onnxruntime.InferenceSession(str(HERE / "model.onnx"))
        self.names = [port.name for port in self.session.get_inputs()]

    def run(self, *given):
        return self.session.run(None, dict(zip(self.names, given, strict=True)))[0]

    def read(self, path):
        return self.xp.load(path, allow_pickle=False)

    def write(self, path, values):
        with Path(path).open("wb") as stream:
            self.xp.save(stream, values)

    def resized(self, values, size):
        sys.exit(f"with --onnx X-rays must have {size} pixels, found {tuple(values.shape[-2:])}")


def prepared(engine, paths):
    """The inputs as (batch, …) in single precision, in the range of the training."""
    found = []
    for port, path in zip(SPEC["inputs"], paths, strict=True):
        values, shape = engine.read(path), port["shape"]
        values = engine.xp.asarray(values, dtype=engine.xp.float32)
        if SPEC["kind"] == "xrays" and list(values.shape[-2:]) != shape[1:]:
            values = engine.resized(values, shape[1:])
        own = shape[1:] if shape[0] == 1 else shape
        if list(values.shape[-len(own) :]) != own:
            sys.exit(f"{path} has the shape {tuple(values.shape)}, expected (…, {str(own)[1:-1]})")
        found.append(values.reshape(-1, *shape))
    if SPEC["kind"] == "brain":
        found = in_range(engine.xp, *found)
    for port, path, values in zip(SPEC["inputs"], paths, found, strict=True):
        low, high = float(values.min()), float(values.max())
        if port["low"] is not None and not port["low"] <= low <= high <= port["high"]:
            expected = f"{port['low']:g} to {port['high']:g}"
            sys.exit(f"{path} has values from {low:g} to {high:g}, expected {expected}")
    return found


def in_range(xp, slices, mask):
    """A volume in [0, 1], as the training saw it: percentiles inside the brain, zero outside."""
    mask = xp.asarray(mask > 0, dtype=xp.float32)
    if slices.min() < 0 or slices.max() > 1:
        low, high = (xp.quantile(slices[mask > 0], p / 100) for p in SPEC["percentiles"])
        print(f"intensities {float(low):g} to {float(high):g} of the brain were taken as 0 to 1")
        slices = (slices - low) / (high - low)
    return [xp.asarray(slices.clip(0, 1) * mask, dtype=xp.float32), mask]


def sampled(engine, views):
    """A volume (1, D, H, W) in HU by the loop of a diffusion sampler over overlapping windows."""
    xp, loop = engine.xp, SPEC["loop"]
    weights, volume = engine.read(HERE / "weights.npy"), engine.read(HERE / "noise.npy")
    places = [tuple(slice(at, at + len(weights)) for at in corner) for corner in loop["corners"]]
    total, before = xp.zeros(volume.shape, dtype=xp.float32), 0.0
    generator = None
    if any(step["drawn"] for step in loop["steps"]):
        if not hasattr(xp, "Generator"):
            sys.exit("this sampler draws torch's random numbers: leave --onnx out")
        generator = xp.Generator().manual_seed(loop["seed"])
    for place in places:
        total[place] += weights
    for step in loop["steps"]:
        noise = xp.zeros(volume.shape, dtype=xp.float32)
        for first in range(0, len(places), loop["at_once"]):
            some = places[first : first + loop["at_once"]]
            windows = xp.stack([volume[place] for place in some])[:, None]
            steps = xp.asarray([step["timestep"]] * len(some))
            corners = xp.asarray(loop["corners"][first : first + len(some)])
            seen = xp.stack([views[0]] * len(some))
            for place, values in zip(some, engine.run(windows, steps, seen, corners), strict=True):
                noise[place] += weights * values[0]
        clean = (volume - step["noise"] * (noise / total)) / step["signal"]
        clean = clean.clip(loop["low"], 1)
        volume = step["volume"] * volume + step["clean"] * clean + step["before"] * before
        if step["drawn"]:
            volume = volume + step["drawn"] * xp.randn(volume.shape, generator=generator)
        before = clean
    share = (volume.clip(loop["low"], 1) - loop["low"]) / (1 - loop["low"])
    low, high = loop["hu_window"]
    return (low + (high - low) * share)[None]


def check(engine, allowed):
    """Leave with 1 where the stored output does not come of the stored input."""
    given = [engine.read(HERE / "check" / f"{name}.npy") for name in SPEC["traced"]]
    expected = engine.read(HERE / "check" / "output.npy")
    scale = max(float(expected.max() - expected.min()), float(abs(expected).max()) / 100, 1e-30)
    off = float(abs(engine.run(*given) - expected).max()) / scale
    if not off <= allowed:
        sys.exit(f"the output differs by {off:.2g} of its range from the stored one, > {allowed:g}")
    print(f"the output is the stored one: it differs by {off:.2g} of its range, <= {allowed:g}")


def main():
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    usage.add_argument("files", nargs="*", help="the inputs, and the output to write")
    usage.add_argument("--check", action="store_true")
    usage.add_argument("--onnx", action="store_true")
    wanted = usage.parse_args()
    name = "model.onnx" if wanted.onnx else "model.pt2"
    if name in SPEC["missing"]:
        sys.exit(f"there is no {name}: {SPEC['missing'][name]}")
    engine = Onnx() if wanted.onnx else Torch()
    if wanted.check:
        return check(engine, SPEC["tolerance"][name])
    if len(wanted.files) != len(SPEC["inputs"]) + 1:
        names = " ".join(f"{port['name']}.npy" for port in SPEC["inputs"])
        usage.error(f"expected {names} OUTPUT.npy, or --check")
    given, out = prepared(engine, wanted.files[:-1]), wanted.files[-1]
    size = AT_ONCE.get(SPEC["kind"], 1)
    batches = [[one[at : at + size] for one in given] for at in range(0, len(given[0]), size)]
    run = (lambda views: sampled(engine, views)) if SPEC["loop"] else engine.run
    result = engine.xp.concatenate([run(*batch) for batch in batches])
    if not bool(engine.xp.isfinite(result).all()):
        sys.exit("the result has NaN or infinite values; nothing was written")
    engine.write(out, result)
    print(
        f"{SPEC['outputs'][0]['name']} {tuple(result.shape)} in {SPEC['outputs'][0]['unit']}: {out}"
    )
    if SPEC["kind"] == "brain":
        residual = Path(out).with_name(Path(out).stem + "_residual.npy")
        engine.write(residual, abs(given[0] - result) * given[1])
        print(f"what is left of the slices inside the brain: {residual}")


if __name__ == "__main__":
    main()
