"""The files that make an exported folder a MONAI bundle.

Source: the MONAI bundle specification, docs.monai.io; `monai.bundle` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from orchestrator.exporting.card import Exported

MONAI = "1.6"
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
LICENSE = (
    "The licence of this model and its weights is to be filled in by whoever passes it on.\n"
    "Until then all rights are reserved.\n"
)
_MODALITIES = {"sinogram": "CT", "brain": "MR", "xrays": "CR"}


def metadata(exported: Exported) -> dict[str, Any]:
    """configs/metadata.json."""
    plan, program = exported.plan, exported.program
    task = f"{plan.family}: trial {plan.trial} of study {plan.study}"
    return {
        "schema": SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": "exported"},
        "monai_version": MONAI,
        "pytorch_version": _version("torch"),
        "numpy_version": _version("numpy"),
        "required_packages_version": {},
        "name": plan.study,
        "task": task,
        "description": f"{task}. Not a medical device; see docs/README.md.",
        "authors": "(to be filled in)",
        "copyright": "(to be filled in)",
        "network_data_format": {
            "inputs": {"image": _joined(program["inputs"], program["kind"])},
            "outputs": {"pred": _joined(program["outputs"], program["kind"])},
        },
    }


def inference() -> dict[str, Any]:
    """configs/inference.json: every .npy file of `dataset_dir` through the network."""
    return {
        "imports": ["$import torch", "$import runpy"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cpu')",
        "script": "$runpy.run_path(@bundle_root + '/models/network.py')",
        "network_def": "$@script['Network']()",
        "inferer": {"_target_": "SimpleInferer"},
        "dataset": "$@script['Samples'](@dataset_dir)",
        "evaluator": "$@script['Runner'](@network_def, @dataset, @inferer, @output_dir)",
        "run": ["$@evaluator.run()"],
    }


def _joined(ports: list[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Ports of one shape, joined along the channels as models/network.py has them."""
    flat = [port for port in ports for _ in range(_channels(port, kind))]
    first = ports[0]
    known = first["low"] is not None
    return {
        "type": "image",
        "format": "magnitude",
        "modality": _MODALITIES.get(kind, "n/a"),
        "num_channels": len(flat),
        "spatial_shape": first["shape"][0 if _is_bare(first, kind) else 1 :],
        "dtype": "float32",
        "value_range": [first["low"], first["high"]] if known else [],
        "is_patch_data": False,
        "channel_def": {str(number): port["meaning"] for number, port in enumerate(flat)},
    }


def _channels(port: Mapping[str, Any], kind: str) -> int:
    return 1 if _is_bare(port, kind) else int(port["shape"][0])


def _is_bare(port: Mapping[str, Any], kind: str) -> bool:
    """Whether it has no axis of channels, as volumes of X-rays."""
    return kind == "xrays" and port["name"] == "volume"


def _version(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "unknown"
