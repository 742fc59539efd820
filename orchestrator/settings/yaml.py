"""Reading and writing YAML as people mean it.

1e-5 is a number, 010 and 1:30 are none, `off` is a word (only true and false are not), and no key
may stand twice.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from protocol.errors import SettingsError

_BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float"))


class _Loader(yaml.SafeLoader):
    pass


class _Dumper(yaml.SafeDumper):
    pass


# YAML 1.1, which PyYAML follows, takes 1e-5 for text because it has no dot, 010 for 8, 0x10 for 16,
# 1:30 for 90, and `off` for false, which would be a trap for `precision: off`. Here numbers are
# decimal and the rest is text. What is written keeps the quotes that other readers need.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL, _INT, _FLOAT)]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_DIGITS = list("-+.0123456789")
_NUMBER = re.compile(r"^[-+]?(\d[\d_]*(\.\d*)?|\.\d+)[eE][-+]?\d+$")
_POINT = re.compile(
    r"^([-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)
_TRUTH = re.compile(r"^(true|True|TRUE|false|False|FALSE)$")
_Loader.add_implicit_resolver(_INT, re.compile(r"^[-+]?(0|[1-9][\d_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(_FLOAT, _POINT, _DIGITS)
_Loader.add_implicit_resolver(_FLOAT, _NUMBER, _DIGITS)
_Loader.add_implicit_resolver(_BOOL, _TRUTH, list("tTfF"))
_Dumper.add_implicit_resolver(_FLOAT, _NUMBER, _DIGITS)


def _mapping_without_duplicates(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "expected a word as a key, found brackets", key_node.start_mark
            )
        if key_node.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key_node.value!r} stands twice", key_node.start_mark
            )
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)


def parse_yaml(text: str, source: str) -> Any:
    """The value of `text`; `source` names it in errors.

    Raises:
        SettingsError: it is not YAML, or a key stands twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{source}{place}: {error.problem or 'not valid YAML'}") from None
    except (yaml.YAMLError, ValueError) as error:
        # A ValueError comes from a date that no calendar has.
        reason = str(error).splitlines()[0]
        raise SettingsError(f"{source}: not valid YAML: {reason}") from None


def parse_value(text: str, source: str) -> Any:
    """One value of the command line, where ` #` begins no comment.

    Raises:
        SettingsError: it is not YAML, or a key stands twice.
    """
    typed = text.strip()
    if re.search(r"\s#", typed) and typed[:1] not in "\"'[{":
        return typed
    return parse_yaml(text, source)


def dump_yaml(value: Any) -> str:
    """`value` as text that `parse_yaml` reads back as it was."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        SettingsError: the file is missing, unreadable or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    value = parse_yaml(text, str(path))
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SettingsError(f"{path}: expected `key: value` lines, found {type(value).__name__}")
    return value
