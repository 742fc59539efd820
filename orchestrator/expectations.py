"""What a setting should have been, in words for the person who wrote it. Part of the floor."""

from __future__ import annotations

from pydantic_core import ErrorDetails

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "too_short": "a list of {min_length} or more",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def expected(details: ErrorDetails) -> str:
    """What pydantic expected where it found an error."""
    known = _EXPECTED.get(details["type"])
    if known is None:
        message = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        return message[:1].lower() + message[1:]
    return known.format(**details.get("ctx", {}))
