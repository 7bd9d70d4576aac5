"""A pool at work: what it knows of its endpoints' models."""

from penstock.core.snapshot import Endpoint, PolicyChoice, Pool, ServedModel
from penstock.dataplane.pool.served_models import served_by


def served(owner: str) -> dict[str, str] | None:
    endpoint = Endpoint("e", "127.0.0.1", 9)
    listed = (ServedModel("base", owned_by=owner), ServedModel("sql", "base", owned_by=owner))
    policy = PolicyChoice(name="round-robin")
    pool = Pool(name="a", endpoints=(endpoint,), policy=policy, discovered={"e": listed})
    return served_by(pool, endpoint)


def test_sglang_is_asked_for_an_adapter_beside_its_model() -> None:
    assert served("sglang") == {"base": "", "sql": "base", "base:sql": "base"}


def test_other_engines_are_asked_for_an_adapter_by_its_name() -> None:
    assert served("vllm") == {"base": "", "sql": "base"}


def test_what_ollama_lists_with_its_default_tag_it_takes_without_one_too() -> None:
    endpoint = Endpoint("e", "127.0.0.1", 9)
    listed = (ServedModel("mistral:latest"), ServedModel("qwen:7b"))
    pool = Pool(name="a", endpoints=(endpoint,), discovered={"e": listed})
    assert set(served_by(pool, endpoint) or ()) == {"mistral:latest", "mistral", "qwen:7b"}
