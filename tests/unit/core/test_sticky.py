"""Sticky cookies: signed, silent about addresses, and stable."""

from base64 import urlsafe_b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.pool.sticky import VALUE_LENGTH, StickyCookies

NAMES = ["10.0.0.1:8000", "10.0.0.2:8000", "gpu-3"]


def cookies(*keys: str, pool: str = "web", names: list[str] = NAMES) -> StickyCookies:
    made = StickyCookies(pool, keys)
    made.replace_endpoints(names)
    return made


def test_a_value_names_its_endpoint() -> None:
    signed = cookies("key")
    assert [signed.endpoint_of(signed.value_for(name)) for name in NAMES] == NAMES


def test_values_are_the_same_in_every_process() -> None:
    assert cookies("key").value_for("gpu-3") == cookies("key").value_for("gpu-3")


def test_a_value_is_fit_for_a_cookie_and_tells_no_address() -> None:
    value = cookies("key").value_for("10.0.0.1:8000")
    assert len(value) == VALUE_LENGTH
    assert value.replace("-", "").replace("_", "").isalnum()
    assert b"10.0" not in urlsafe_b64decode(value)
    assert value != cookies("other key").value_for("10.0.0.1:8000")


@given(st.integers(0, VALUE_LENGTH - 1), st.sampled_from("AQgw5_-"))
def test_a_value_changed_anywhere_names_nobody(at: int, letter: str) -> None:
    signed = cookies("key")
    value = signed.value_for("gpu-3")
    forged = value[:at] + letter + value[at + 1 :]
    assert signed.endpoint_of(forged) == ("gpu-3" if forged == value else "")


@given(st.text(max_size=40))
def test_any_text_at_all_names_nobody(value: str) -> None:
    assert cookies("key").endpoint_of(value) == ""


def test_values_of_another_pool_or_key_name_nobody() -> None:
    value = cookies("key").value_for("gpu-3")
    assert cookies("key", pool="api").endpoint_of(value) == ""
    assert cookies("other").endpoint_of(value) == ""


def test_keys_rotate_without_losing_anybody() -> None:
    old = cookies("old").value_for("gpu-3")
    both = cookies("new", "old")
    assert both.endpoint_of(old) == "gpu-3"
    assert both.needs_renewal(old)
    fresh = both.value_for("gpu-3")
    assert not both.needs_renewal(fresh)
    assert cookies("new").endpoint_of(fresh) == "gpu-3"
    assert cookies("new").endpoint_of(old) == ""


def test_an_endpoint_that_left_is_named_no_more() -> None:
    signed = cookies("key")
    value = signed.value_for("gpu-3")
    signed.replace_endpoints(NAMES[:2])
    assert signed.endpoint_of(value) == ""
    with pytest.raises(KeyError):
        signed.value_for("gpu-3")


def test_a_key_is_needed() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        StickyCookies("web", ())
