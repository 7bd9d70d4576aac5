"""The admin address in a document: its tokens, TLS and socket files."""

from pathlib import Path

import pytest

from penstock.config.compile.configured import AdminSettings
from penstock.config.compile.snapshot import ConfigError, load_configuration
from tests.scenario.certificates import Authority

TOKEN = "a-secret-token-of-some-length"
READ_TOKEN = "a-token-for-those-who-look"


def admin(text: str, directory: Path) -> AdminSettings:
    file = directory / "penstock.yaml"
    file.write_text(f"endpoints: [127.0.0.1:1]\nadmin: {text}\n")
    return load_configuration(file).admin


def refusal(text: str, directory: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        admin(text, directory)
    return str(refused.value)


def test_those_who_may_only_look_have_a_token_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "read").write_text(READ_TOKEN + "\n")
    expected = AdminSettings("127.0.0.1", 9900, TOKEN, READ_TOKEN)
    assert admin(f"{{token: {TOKEN}, read_token: {READ_TOKEN}}}", tmp_path) == expected
    assert admin(f"{{token: {TOKEN}, read_token_file: read}}", tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{{read_token: {READ_TOKEN}}}", "keeps nobody from changing anything"),
        (f"{{token: {TOKEN}, read_token: {TOKEN}}}", "`read_token` is the `token`"),
        (
            f"{{token: {TOKEN}, read_token: {READ_TOKEN}, read_token_file: x}}",
            "give one of `read_token` and `read_token_file`",
        ),
        ("{address: 'unix:/tmp/a.sock', tls: {certificate: a, key: b}}", "crosses no network"),
        ("{tls: {certificate: a.pem, key: b.pem}}", "a.pem cannot be read"),
        ("0.0.0.0:9900", "other machines reach 0.0.0.0:9900"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert reason in refusal(text, tmp_path)


def test_a_socket_file_needs_no_token(tmp_path: Path) -> None:
    settings = admin(f"unix:{tmp_path}/admin.sock", tmp_path)
    assert (settings.host, settings.port) == (f"unix:{tmp_path}/admin.sock", 0)


def test_tls_takes_a_certificate_and_its_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued, other = authority.issue("localhost"), authority.issue("localhost")
    text = f"{{tls: {{certificate: {issued.certificate}, key: {issued.key}}}}}"
    settings = admin(text, tmp_path)
    assert (settings.certificate, settings.key) == (issued.certificate, issued.key)
    text = f"{{tls: {{certificate: {issued.certificate}, key: {other.key}}}}}"
    assert "does not belong to" in refusal(text, tmp_path)
