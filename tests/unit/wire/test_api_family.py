"""Whose API a path belongs to, for the form of errors."""

import pytest

from penstock.wire.api_family import ANTHROPIC, OLLAMA, OPENAI, family_of


@pytest.mark.parametrize(
    ("path", "family"),
    [
        (b"/v1/messages", ANTHROPIC),
        (b"/v1/messages?beta=true", ANTHROPIC),
        (b"/v1/messages/count_tokens", ANTHROPIC),
        (b"/v1/messages/batches/b1/results", ANTHROPIC),
        (b"/claude/v1/messages", ANTHROPIC),
        (b"/v1/threads/t1/messages", OPENAI),
        (b"/v1/threads/t1/messages/m1", OPENAI),
        (b"/api/chat", OLLAMA),
        (b"/api/tags", OLLAMA),
        (b"/ollama/api/generate?x=1", OLLAMA),
        (b"/api/blobs/sha256:0", OLLAMA),
        (b"/api/v1/chat/completions", OPENAI),
        (b"/v1/chat/completions", OPENAI),
        (b"/v1/embeddings", OPENAI),
        (b"/tokenize", OPENAI),
        (b"/v1/models", OPENAI),
        (b"/", OPENAI),
    ],
)
def test_the_path_tells(path: bytes, family: int) -> None:
    assert family_of(path, versioned=False) == family


@pytest.mark.parametrize(
    ("path", "family"),
    [
        (b"/v1/models", ANTHROPIC),
        (b"/v1/models/m", ANTHROPIC),
        (b"/v1/files", ANTHROPIC),
        (b"/v1/chat/completions", OPENAI),
        (b"/api/chat", OLLAMA),
    ],
)
def test_where_both_have_a_path_the_version_that_anthropics_clients_send_tells(
    path: bytes, family: int
) -> None:
    assert family_of(path, versioned=True) == family
