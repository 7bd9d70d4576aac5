"""The endpoint of the balancers that are played here."""

from collections.abc import Iterator

import pytest

from tests.harness.http_endpoint import HttpEndpoint


@pytest.fixture
def endpoint() -> Iterator[HttpEndpoint]:
    with HttpEndpoint() as made:
        yield made
