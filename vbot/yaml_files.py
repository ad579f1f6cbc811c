"""Reading and writing YAML as people mean it: 3e-4 is a number, and a key that appears twice is a mistake."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from vbot.errors import UserError

try:
    from yaml import CSafeLoader as _SafeLoader  # several times as fast, and in most builds of PyYAML
except ImportError:
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]


_WORD = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)$)[a-z_][\w./-]*", re.ASCII | re.IGNORECASE)
"""Text that YAML takes for nothing else; any other is written as JSON has it, which YAML reads."""


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file that must hold a mapping.

    Raises:
        UserError: no such file, no valid YAML, or no mapping.
    """
    try:
        content = parse_yaml(file.read_text())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} must map keys to values; got {type(content).__name__}")
    return content


def write_yaml(content: Mapping[str, Any]) -> str:
    """YAML text of plain values, keys in their order."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, width=110)


def write_rows(name: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """YAML text of a list under the key ``name``, a row on a line of its own: what is added shows as lines added.

    Written by hand, for it is done to hundreds of rows at a time: PyYAML takes a millisecond for each.
    """
    lines = [f"- {_in_line(row)}\n" for row in rows]
    return f"{name}:\n{''.join(lines)}" if lines else f"{name}: []\n"


def _in_line(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_in_line(key)}: {_in_line(v)}" for key, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_in_line, value)) + "]"
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class _Loader(_SafeLoader):
    """YAML whose numbers are as people write them: PyYAML reads 3e-4 as text, for want of a decimal point."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Lists of plain values on one line."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )


def _represent_list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    plain = not any(isinstance(item, (dict, list)) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=plain)


_Dumper.add_representer(list, _represent_list)
