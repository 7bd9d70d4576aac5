"""What pydantic found wrong, in words for people, with the place and the likely intended key."""

from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from penstock.config.document.model import EXTENSION
from penstock.config.document.section import Section, section_of
from penstock.config.document.show import show
from penstock.config.load.errors import Location, Problem, did_you_mean
from penstock.config.load.other_names import EXPLAINED, OURS, spelled

# How people, and other formats, mark what is no key: none of ours begins so.
_MARKS: Final = ("_", ".", "x-", "x_")
_KINDS: Final = {
    "bool_parsing": "true or false is needed",
    "bool_type": "true or false is needed",
    "dict_type": "a mapping is needed",
    "float_parsing": "a number is needed",
    "float_type": "a number is needed",
    "int_from_float": "a whole number is needed",
    "int_parsing": "a whole number is needed",
    "int_parsing_size": "a smaller number is needed",
    "int_type": "a whole number is needed",
    "list_type": "a list is needed",
    "model_attributes_type": "a mapping is needed",
    "model_type": "a mapping is needed",
    "string_type": "text is needed",
    "string_unicode": "text without lone surrogates is needed",
    "tuple_type": "a list is needed",
}


def explain(error: ValidationError, document: Any, model: type[Section]) -> list[Problem]:
    """One problem for each thing wrong, with locations as the document spells them."""
    return [
        Problem(_as_written(found, document), _words(found, document, model))
        for found in error.errors(include_url=False)
    ]


def _as_written(found: ErrorDetails, document: Any) -> Location:
    """Leaves out the keys that a short form does not spell."""
    written: list[str | int] = []
    value = document
    for key in found["loc"]:
        if isinstance(value, list):
            known = isinstance(key, int) and key < len(value)
        else:
            known = isinstance(value, dict) and key in value
        if known:
            value = value[key]
            written.append(key)
    return tuple(written)


def _words(found: ErrorDetails, document: Any, model: type[Section]) -> str:
    kind, given, context = found["type"], found["input"], found.get("ctx", {})
    location = tuple(key for key in found["loc"] if key != "[key]")
    if kind == "extra_forbidden":
        key = str(location[-1])
        if key.lower().startswith(_MARKS):
            return f"unknown key; {_as_extension(key, at_the_top=len(location) == 1)}"
        return f"unknown key{_intended(key, _section_at(model, location[:-1]))}"
    if kind == "missing":
        return f"`{location[-1]}` is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        expected = str(context["expected"])
        known = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
        return f"{expected} is needed, not {show(given)}{did_you_mean(str(given), known)}"
    if kind in _KINDS:
        return f"{_KINDS[kind]}, not {show(given)}"
    text = found["msg"].replace("Input should be", "must be")
    return f"{text}, not {show(given)}"


def _as_extension(given: str, *, at_the_top: bool) -> str:
    """Where a key that looks like a person's own may stand, and how it begins."""
    spelled = given[1:].lstrip("-_") if given[0] in "xX" else given.lstrip("._")
    text = f"keys of your own begin with {EXTENSION!r}"
    if at_the_top:
        return f"{text}, as in {EXTENSION + (spelled or 'mine')!r}"
    return f"{text} and stand at the top of the document"


def _intended(given: str, section: type[Section] | None) -> str:
    """What an unknown key was likely meant to be, or else the keys that are known."""
    if section is None:
        return ""
    known = list(section.model_fields)
    if spelled(given) in known:
        return f"; did you mean {spelled(given)!r}?"
    nested = _nested_keys(section)
    meant = OURS.get(spelled(given), "")
    if meant in known:
        return f"; did you mean {meant!r}?"
    if given in nested:
        return f"; did you mean {nested[given]!r}?"
    if spelled(given) in EXPLAINED:
        return f": {EXPLAINED[spelled(given)]}"
    if meant in nested:
        return f"; did you mean {nested[meant]!r}?"
    timeout = nested.get(given.removesuffix("_timeout"), "")
    if "timeout" in timeout:
        return f"; did you mean {timeout!r}?"
    close = did_you_mean(given, known)
    if close:
        return close
    near = get_close_matches(given, nested, n=1)
    if near:
        return f"; did you mean {nested[near[0]]!r}?"
    return f"; known here: {', '.join(known)}"


def _nested_keys(section: type[Section], prefix: str = "", depth: int = 3) -> dict[str, str]:
    """Every key below a section, with the path to it; the nearest path where there are several."""
    found: dict[str, str] = {}
    deeper: dict[str, str] = {}
    for name, field in section.model_fields.items():
        inner, step = section_of(field.annotation)
        if inner is None:
            continue
        path = f"{prefix}{name}{step}"
        for key in inner.model_fields:
            found.setdefault(key, f"{path}.{key}")
        if depth > 1:
            for key, deep in _nested_keys(inner, f"{path}.", depth - 1).items():
                deeper.setdefault(key, deep)
    return deeper | found


def _section_at(model: type[Section], location: Location) -> type[Section] | None:
    """The section that a path of keys leads to."""
    section: type[Section] | None = model
    skip = False
    for key in location:
        if skip:
            skip = False
            continue
        if section is None or key not in section.model_fields:
            return None
        section, step = section_of(section.model_fields[str(key)].annotation)
        skip = bool(step)
    return section
