"""What every part of the document has in common."""

import types
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel, ConfigDict, Field

Plain = TypeVar("Plain", bound=msgspec.Struct)


class Section(BaseModel):
    """A mapping in the document whose keys are all known."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


def setting(default: Any, meaning: str, **constraints: Any) -> Any:
    """A key that may be left out, and what it means."""
    return Field(default=default, description=meaning, **constraints)


def required(meaning: str) -> Any:
    """A key that must be given, and what it means."""
    return Field(description=meaning)


def plain(kind: type[Plain], section: Section, **others: object) -> Plain:
    """A part of the snapshot from the section of the same keys.

    A field ``interval_s`` is the key ``interval``; ``others`` are fields made otherwise.
    """
    values: dict[str, object] = {}
    for field in kind.__struct_fields__:
        key = field if field in type(section).model_fields else field.removesuffix("_s")
        values[field] = others[field] if field in others else getattr(section, key)
    return kind(**values)


def section_of(annotation: Any) -> tuple[type[Section] | None, str]:
    """The section that a field holds, and ``.NAME`` or ``[N]`` when it holds several."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return section_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        for choice in get_args(annotation):
            section, step = section_of(choice)
            if section is not None:
                return section, step
        return None, ""
    if origin is tuple:
        return section_of(get_args(annotation)[0])[0], "[N]"
    if origin is dict:
        inner, step = section_of(get_args(annotation)[1])
        return inner, ".NAME" + step
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, ""
    return None, ""


def sections_of(model: type[Section]) -> dict[str, type[Section]]:
    """A section and all below it by name, in the order in which they are first used."""
    found = {model.__name__: model}
    for field in model.model_fields.values():
        inner, _ = section_of(field.annotation)
        if inner is not None and inner.__name__ not in found:
            found |= sections_of(inner)
    return found


def spelled_default(section: type[Section], key: str) -> Any:
    """The default of a key, as a document would write it."""
    field = section.model_fields[key]
    if field.is_required():
        raise ValueError(f"{key} has no default")
    default = field.get_default(call_default_factory=True)
    instance = section.model_construct(None, **{key: default})
    return instance.model_dump(mode="json", include={key})[key]
