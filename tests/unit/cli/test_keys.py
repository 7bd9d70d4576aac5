"""``penstock keys``: a key is shown once, and a running balancer knows what became of it."""

from hashlib import sha256
from pathlib import Path

from click.testing import CliRunner, Result

from penstock.cli.keys import keys
from penstock.config.compile.tenants import read_directory


def run(directory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(keys, [*arguments, "--directory", str(directory)])


def test_a_key_is_shown_once_and_kept_as_its_digest(tmp_path: Path) -> None:
    made = run(tmp_path, "create", "acme", "--name", "ci", "--expires", "2030-01-31")
    secret = made.output.splitlines()[0]
    assert len(secret) >= 43
    (tenant,) = read_directory(tmp_path)
    (key,) = tenant.keys
    assert (tenant.name, key.name) == ("acme", "ci")
    assert key.sha256 == sha256(secret.encode()).hexdigest()
    assert secret not in (tmp_path / "acme.keys.yaml").read_text()
    assert "good until 2030-01-31" in run(tmp_path, "list").output


def test_keys_have_names_of_their_own(tmp_path: Path) -> None:
    run(tmp_path, "create", "acme")
    run(tmp_path, "create", "acme", "--model", "big")
    (tenant,) = read_directory(tmp_path)
    assert [key.name for key in tenant.keys] == ["key-1", "key-2"]
    assert tenant.keys[1].models == ("big",)
    again = run(tmp_path, "create", "acme", "--name", "key-1")
    assert again.exit_code == 1
    assert "already" in again.output


def test_a_revoked_key_stays_known_as_one(tmp_path: Path) -> None:
    run(tmp_path, "create", "acme", "--name", "ci")
    assert run(tmp_path, "revoke", "acme", "ci").exit_code == 0
    (tenant,) = read_directory(tmp_path)
    assert tenant.keys[0].revoked
    assert "revoked" in run(tmp_path, "list").output
    assert run(tmp_path, "revoke", "acme", "other").exit_code == 1


def test_without_a_directory_it_prints_what_to_write() -> None:
    made = CliRunner().invoke(keys, ["create", "acme", "--name", "ci", "--expires", "90d"])
    assert made.exit_code == 0
    assert "tenants:\n  acme:\n    keys:\n      ci:\n        sha256: " in made.output
