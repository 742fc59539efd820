"""The options of a command, made from the settings that it takes.

An option has the name, the type, the default and, as its help, the description of a field of a
pydantic model, so that nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from types import GenericAlias, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from data.prepare.fields import Metavar
from protocol.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)


def add_command(
    app: typer.Typer,
    name: str,
    run: Callable[..., None],
    *models: type[BaseModel],
    defaults: Mapping[str, object] | None = None,
) -> None:
    """Add a command.

    Args:
        app: what it is a command of.
        name: as users type it.
        run: what it does, called with one instance of each model; its docstring is the help.
        models: the settings that it takes; no two have a field of the same name.
        defaults: of options, where they are others than the fields'.
    """
    fields = [each for model in models for each in model.model_fields.items()]
    parameters = [_parameter(*each, defaults or {}) for each in fields]
    parameters.sort(key=lambda one: one.default is not Parameter.empty)  # as Python wants them

    def command(**given: object) -> None:
        run(*(checked(one, **{key: given[key] for key in one.model_fields}) for one in models))

    command.__doc__ = run.__doc__
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    vars(command)["__signature__"] = Signature(parameters)
    app.command(name)(command)


def checked(model: type[Model], **values: object) -> Model:
    """The settings, or one sentence on the first option that is out of range.

    Raises:
        SettingsError: an option is out of range.
    """
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}: found {first['input']}; " if first["loc"] else "--"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(option + reason) from error


def _parameter(name: str, field: FieldInfo, defaults: Mapping[str, object]) -> Parameter:
    metavar = next((one.text for one in field.metadata if isinstance(one, Metavar)), None)
    text = field.description or ""
    option = typer.Option(f"--{name}", metavar=metavar, help=f"{text[:1].upper()}{text[1:]}.")
    own = Parameter.empty if field.is_required() else field.default
    return Parameter(
        name,
        Parameter.KEYWORD_ONLY,
        default=defaults.get(name, own),
        annotation=Annotated[_bare(field.annotation), option],
    )


def _bare(kind: Any) -> Any:
    """A type without what is annotated anywhere in it, which the model checks."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _bare(inside[0])
    if origin is tuple:
        return GenericAlias(tuple, tuple(_bare(one) for one in inside))
    if origin in (Union, UnionType):
        return Union[tuple(_bare(one) for one in inside)]  # noqa: UP007
    return kind
