"""Keys of issuers: known before a snapshot runs, and kept when nobody tells them any more."""

import json
from pathlib import Path

import pytest

from penstock.control.events import Events
from penstock.control.tenants.key_sets import KeySets
from penstock.core.snapshot import Snapshot, TokenIssuer

KEYS = json.dumps({"keys": [{"kty": "EC"}]})
OTHERS = json.dumps({"keys": [{"kty": "RSA"}]})


class Published:
    def __init__(self, file: Path) -> None:
        self.now = 0.0
        self.count = 0
        self.key_sets = KeySets(Events(), self.refresh, lambda: self.now)
        issuer = TokenIssuer("it", ("a",), ("ES256",), jwks_file=str(file), refresh_s=60.0)
        self.running = Snapshot(0, (), (), (), token_issuers=(issuer,))

    async def refresh(self) -> None:
        self.count += 1
        await self.key_sets.prepare(self.running)
        self.running = self.key_sets.mark(self.running)
        self.key_sets.configure(self.running)

    @property
    def keys(self) -> str:
        return self.running.token_issuers[0].key_set


@pytest.mark.asyncio
async def test_keys_are_known_from_the_start_looked_at_again_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(KEYS)
    published = Published(file)
    await published.refresh()
    assert published.keys == KEYS
    file.write_text(OTHERS)
    await published.key_sets.look()
    assert published.keys == KEYS
    published.now = 61.0
    await published.key_sets.look()
    assert published.keys == OTHERS
    for broken in ("{", '{"keys": []}'):
        file.write_text(broken)
        published.now += 61.0
        await published.key_sets.look()
        assert published.keys == OTHERS
    file.unlink()
    published.now += 61.0
    await published.key_sets.look()
    assert published.keys == OTHERS
    assert published.count == 2
