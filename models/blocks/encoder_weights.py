"""Starting an encoder from a file of weights that were not made for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from models.weights_file import Tensors, read_tensors
from protocol.errors import SettingsError
from protocol.files import sha256_of

KEY = "recipe.encoder_weights_file"
HEAD = "fc"  # the layer that makes the vector; classifiers have another there
FIRST_LAYERS = ("conv1.weight", "features.0.0.weight")
# Of the encoder's tensors, its head aside, that a file must have. The next smaller ResNet has
# half of them under the same names.
LEAST_SHARE = 0.75
NAMES_SHOWN = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which of an encoder's tensors a file has, under which names."""

    prefix: str  # before every name in the file, such as `module.encoder.`
    fitting: Tensors  # by the encoder's names
    missing: list[str] = field(default_factory=list)  # the encoder's own names
    other_shape: list[str] = field(default_factory=list)  # likewise, with both shapes
    left_over: list[str] = field(default_factory=list)  # names in the file


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Replace the encoder's weights by those in a file, and say in the log which fitted.

    Names may carry a prefix, as in checkpoints of data-parallel training, of whole models and of
    masked pretraining. A first layer for colour images is summed over its channels, which answers
    a grey image as it would the same image in three equal channels. What the file does not have
    stays as it was.

    Raises:
        SettingsError: as from `fitting_tensors`.
    """
    match = fitting_tensors(encoder, path)
    encoder.load_state_dict(match.fitting, strict=False)
    _report(path, match, len(encoder.state_dict()))


def fitting_tensors(encoder: nn.Module, path: Path) -> Match:
    """What a file has for the encoder, whose own weights are not looked at.

    Raises:
        SettingsError: the file cannot be read, or has not three quarters of the encoder's
            tensors.
    """
    found = read_tensors(path, key=KEY, without="to start from random weights")
    own = encoder.state_dict()
    match = match_tensors(found, own)
    body = [name for name in own if _is_body(name)]
    count = sum(name in match.fitting for name in body)
    if count < LEAST_SHARE * len(body):
        raise SettingsError(
            f"{path} has {count} of the encoder's {len(body)} tensors, expected three "
            f"quarters of them at least; it holds {_shown(list(found))}: give the weights of the "
            "network that `encoder` names, or set `encoder` to theirs",
            key=KEY,
        )
    return match


def match_tensors(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Match:
    """Which of `own` are in `found`, under the prefix that fits most of them."""
    prefix = max(sorted(_prefixes(found, own)), key=lambda prefix: _fits(prefix, found, own))
    fitting: Tensors = {}
    missing, other_shape = [], []
    for name, tensor in own.items():
        candidate = found.get(prefix + name)
        if candidate is None:
            missing.append(name)
        elif candidate.shape == tensor.shape:
            fitting[name] = candidate
        elif _is_colour_layer(name, candidate, tensor):
            fitting[name] = candidate.sum(dim=1, keepdim=True)
        else:
            other_shape.append(f"{name} {tuple(candidate.shape)} for {tuple(tensor.shape)}")
    taken = {prefix + name for name in own}
    left_over = [name for name in found if name not in taken]
    return Match(
        prefix=prefix,
        fitting=fitting,
        missing=missing,
        other_shape=other_shape,
        left_over=left_over,
    )


def _prefixes(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> set[str]:
    """Whatever stands before one of the encoder's names, and nothing."""
    stems = {name.rpartition(".")[2] for name in own}
    prefixes = {""}
    for key in found:
        if key.rpartition(".")[2] not in stems:
            continue
        # `a.b.conv1.weight` may be `conv1.weight` under `a.b.`, or `b.conv1.weight` under `a.`
        parts = key.split(".")
        for cut in range(1, len(parts)):
            if ".".join(parts[cut:]) in own:
                prefixes.add(".".join(parts[:cut]) + ".")
    return prefixes


def _fits(prefix: str, found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> int:
    return sum(
        prefix + name in found and found[prefix + name].shape == tensor.shape
        for name, tensor in own.items()
    )


def _is_colour_layer(name: str, candidate: Tensor, own: Tensor) -> bool:
    return (
        name in FIRST_LAYERS
        and candidate.ndim == own.ndim
        and own.shape[1] == 1
        and candidate[:, :1].shape == own.shape
    )


def _is_body(name: str) -> bool:
    return not name.startswith(f"{HEAD}.") and not name.endswith("num_batches_tracked")


def _report(path: Path, match: Match, total: int) -> None:
    digest = sha256_of(path)
    under = f" under {match.prefix!r}" if match.prefix else ""
    _log.info("encoder: %d of %d tensors from %s%s", len(match.fitting), total, path, under)
    _log.info("encoder: SHA-256 of that file %s", digest)
    for what, names in (
        ("not in the file, left random", match.missing),
        ("of another shape, left random", match.other_shape),
        ("in the file, not used", match.left_over),
    ):
        if names:
            _log.info("encoder: %d tensors %s: %s", len(names), what, _shown(names))


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
