"""Which models the endpoints of a pool serve, as its snapshot says."""

from penstock.core import snapshot
from penstock.core.pool.model_names import DEFAULT_TAG, without_default_tag


def served_by(pool: snapshot.Pool, endpoint: snapshot.Endpoint) -> dict[str, str] | None:
    """The models of an endpoint with their parents: configured or discovered; None: not known."""
    if endpoint.models:
        return dict.fromkeys(endpoint.models, "")
    found = pool.discovered.get(endpoint.name)
    if found is None:
        return None
    served = {model.id: model.parent for model in found}
    for model in found:
        if model.parent and model.owned_by == "sglang":
            # SGLang lists an adapter by its name alone, and is asked for it beside its parent's
            # (its OpenAIServingBase, ``_parse_model_parameter``).
            served.setdefault(f"{model.parent}:{model.id}", model.parent)
        if model.id.endswith(DEFAULT_TAG):
            served.setdefault(without_default_tag(model.id), model.parent)  # so Ollama takes it
    return served


def listed_models(pool: snapshot.Pool) -> frozenset[str]:
    """The names of all models that its endpoints serve, as far as is known."""
    return frozenset(
        [
            without_default_tag(name)
            for endpoint in pool.endpoints
            for name in served_by(pool, endpoint) or ()
        ]
    )


def most_tokens(pool: snapshot.Pool, model: str) -> int:
    """What the model has room for, prompt and answer; 0 where nobody told. The least of all who
    serve it."""
    told = [
        served.max_tokens
        for models in pool.discovered.values()
        for served in models
        if served.id == model and served.max_tokens > 0
    ]
    return min(told) if told else 0
