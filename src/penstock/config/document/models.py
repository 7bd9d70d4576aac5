"""The document's part about names of models."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from penstock.config.document.section import Section, plain, setting
from penstock.config.document.values import Duration, OneOrMany, Weight
from penstock.core import snapshot

_MODELS: Final = snapshot.Models()
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


def _one_model(value: Any) -> Any:
    return {value: 1} if isinstance(value, str) else value


Shares = Annotated[
    dict[ModelName, Weight],
    BeforeValidator(_one_model, json_schema_input_type=str | dict[str, float]),
]


class Models(Section):
    """Names of models, and which endpoints serve them."""

    discover: Duration = setting(
        _MODELS.discover_s,
        "Time between two requests for the list at `/v1/models`. `off`: endpoints are not asked.",
    )
    aliases: dict[ModelName, Shares] = setting(
        {},
        "Additional names, each for a model or for several with weights. The request is "
        "forwarded with the model's own name.",
    )
    fallbacks: dict[ModelName, OneOrMany[ModelName]] = setting(
        {}, "Models used instead, in this order, while no endpoint serves the requested one."
    )

    default: ModelName | None = setting(
        None,
        "Model or alias for requests that name none, in the APIs of OpenAI and Anthropic. "
        "Default: they go to any endpoint.",
    )

    answers: Literal["served", "asked"] = setting(
        _MODELS.answers,
        "Name of the model in answers to requests that used an alias or got a fallback. "
        "`served`: the model that answered; `asked`: the name in the request.",
    )

    @model_validator(mode="after")
    def _sound(self) -> "Models":
        for name, shares in self.aliases.items():
            if not any(shares.values()):
                raise ValueError(f"the alias {name!r} stands for no model with a weight")
            if name in shares:
                raise ValueError(f"the alias {name!r} stands for itself")
            again = sorted(set(shares) & set(self.aliases))
            if again:
                raise ValueError(f"the alias {name!r} stands for another alias, {again[0]!r}")
        for name, others in self.fallbacks.items():
            if name in others:
                raise ValueError(f"the model {name!r} falls back to itself")
            again = sorted(set(others) & set(self.aliases))
            if again:
                raise ValueError(f"the model {name!r} falls back to an alias, {again[0]!r}")
        return self

    def compiled(self) -> snapshot.Models:
        """As the snapshot has it."""
        return plain(
            snapshot.Models,
            self,
            aliases={name: dict(shares) for name, shares in self.aliases.items()},
            default=self.default or "",
        )
