"""Spellings of a model's name: to Ollama one without a tag is that with the tag "latest"."""

from typing import Final

DEFAULT_TAG: Final = ":latest"


def without_default_tag(name: str) -> str:
    """The one spelling under which both are counted, compared and hashed."""
    return name.removesuffix(DEFAULT_TAG)


def other_spelling(name: str) -> str:
    """The same model's other name; "" where there is none, as it has another tag.

    What stands before the last slash is a registry or a user: ``host:5000/team/model:tag``.
    """
    if name.endswith(DEFAULT_TAG):
        return name.removesuffix(DEFAULT_TAG)
    return "" if ":" in name.rpartition("/")[2] else name + DEFAULT_TAG
