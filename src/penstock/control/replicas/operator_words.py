"""Drains and weights that an operator set at one balancer hold at all that share the store.

They are known by pool and URL. One about an endpoint that is not here yet holds once it is.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from xxhash import xxh3_64_hexdigest

from penstock.control.endpoint_key import EndpointKey
from penstock.control.endpoints.states import MAX_WEIGHT, EndpointStates
from penstock.control.events import Events
from penstock.control.replicas.load_sharing import url_hash
from penstock.control.replicas.words import Words
from penstock.control.store.store import Store
from penstock.core.snapshot import Snapshot

PREFIX: Final = "operators/"
ELSEWHERE: Final = "requested by an operator at another balancer"
_BY_OPERATORS: Final = "requested by an operator"  # what reasons of theirs begin with

_Weight = Annotated[float, Meta(ge=0.0, le=MAX_WEIGHT)]


class Word(msgspec.Struct, omit_defaults=True):
    """What is said of an endpoint. ``weight`` holds while ``configured`` is what is configured."""

    draining: bool = False
    weight: _Weight | None = None
    configured: _Weight = 1.0


class OperatorWords:
    """``said`` here, and ``configure`` by the snapshot that runs."""

    def __init__(self, store: Store, states: EndpointStates, events: Events) -> None:
        self.words = Words(store, PREFIX, events)
        self.words.on_word = self._hear
        self._states = states
        self._keys: dict[EndpointKey, str] = {}
        self._endpoints: dict[str, EndpointKey] = {}
        self._heard: dict[str, Word] = {}

    def configure(self, snapshot: Snapshot) -> None:
        """What was said of endpoints that are new here holds now."""
        before = self._keys
        self._keys = {
            (pool.name, each.name): _key(pool.name, url_hash(pool, each))
            for pool in snapshot.pools
            for each in pool.endpoints
        }
        self._endpoints = {key: endpoint for endpoint, key in self._keys.items()}
        for endpoint, key in self._keys.items():
            if endpoint not in before and key in self._heard:
                self._apply(endpoint, self._heard[key])

    def said(self, pool: str, name: str) -> None:
        """An operator changed this endpoint here."""
        key = self._keys.get((pool, name))
        if key is None:
            return
        state = self._states.of(pool, name)
        set_here = state.weight != state.configured_weight
        word = Word(
            draining=state.draining is not None,
            weight=state.weight if set_here else None,
            configured=state.configured_weight,
        )
        nothing = not word.draining and word.weight is None
        if nothing:
            self._heard.pop(key, None)
        else:
            self._heard[key] = word
        self.words.say(key, None if nothing else msgspec.json.encode(word))

    def _hear(self, key: str, value: bytes | None) -> None:
        try:
            word = msgspec.json.decode(value, type=Word) if value is not None else Word()
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        before = self._heard.pop(key, None)
        if value is not None:
            self._heard[key] = word
        endpoint = self._endpoints.get(key)
        if endpoint is not None:
            self._apply(endpoint, word, before)

    def _apply(self, endpoint: EndpointKey, word: Word, before: Word | None = None) -> None:
        state = self._states.of(*endpoint)
        if word.draining:
            self._states.drain(*endpoint, ELSEWHERE)
        elif state.draining is not None and state.draining.reason.startswith(_BY_OPERATORS):
            self._states.undrain(*endpoint, ELSEWHERE)
        weight = word.weight
        if weight is None and before is not None and state.weight == before.weight:
            weight = state.configured_weight  # it was taken back
        elif word.configured != state.configured_weight:
            return
        if weight is not None and weight != state.weight:
            self._states.set_weight(*endpoint, weight, ELSEWHERE)


def _key(pool: str, url: int) -> str:
    """Names of pools are of any length, keys are not."""
    return f"{xxh3_64_hexdigest(pool.encode())}/{url & ((1 << 64) - 1):016x}"
