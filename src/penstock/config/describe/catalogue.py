"""The catalogue of algorithms: ``python -m penstock.config.describe.catalogue`` writes
docs/policies.md.

Everything in it is read from the classes and the docstrings of their modules.
"""

from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from penstock.config.document.choice import documentation, module_docstring
from penstock.core import admission
from penstock.core.admission import limits
from penstock.core.policy import Option, Policy, policies

FILE: Final = Path("docs/policies.md")
_PARTS: Final = (
    "limit",
    "scheduler",
    "ledger",
    "lines",
    "priority",
    "wait_sums",
    "refusals",
)  # of admission, no algorithms
_EXAMPLE: Final = Path(__file__).parents[4] / "examples" / "own-policy" / "two_choices.py"
_STATE_MACHINES: Final = (
    "health.health",
    "health.outlier",
    "health.breaker",
    "retry",
    "health.slow_start",
    "pool.sticky",
)
_OPENING: Final = """\
# Policies and protection

Written by `python -m penstock.config.describe.catalogue` from the sources.

A policy chooses an endpoint for each request: `policy: NAME` on a pool, or `policy: {name: NAME,
OPTION: VALUE}`. What a pick costs is measured in [picks](picks.md).

## A policy of your own

A class that extends `penstock.core.policy.Policy`, named `package.module:Class`, in a configuration
as in a scenario of the simulator. The module is looked up beside that file, then as Python does
([examples/own-policy](../examples/own-policy)):

```python
EXAMPLE```

- `pick` gets the eligible endpoints and returns one of them, or None if there is none. Time and
  chance come from `env` (`env.now`, `env.below(n)`, `env.random()`), so that the simulator can
  repeat a run.
- `endpoint.load()` is how many requests run there: those of all workers and, where engines tell
  their load, those of other clients. `endpoint.in_flight` is the part that this worker sent itself.
  Compare `load()`; with one worker and no reports both are the same.
- `request` has `path`, `host`, `source` and `key_hash` (of the pool's `hash_key`, with
  `key = "configured"` in the class); in pools of kind `llm` also `model`, `prompt_tokens` and
  `blocks`.
- With `observes = True` the policy is told how requests went: `on_start`, `on_first_byte`,
  `on_end`. `options` declares settings; `explain` gives the terms for `penstock ctl explain`.
- If a method raises an error, that request is answered with 500, and the log names the class, the
  file and the line. A module that was changed is read again after a restart.

## Built-in policies

- *Weights*: work is shared in proportion to the endpoints' weights.
- *Key*: what equal requests are told by; `configured` is the pool's `hash_key`, `source` the
  client's address.
- *Consistent*: few keys move when an endpoint comes or goes.
- *Feedback*: it learns from how requests went.

What policies learn stays open to revision. One request counts as at most four times what was
believed or is usual. What is believed of an endpoint fades, towards what holds for the pool, while
it gets far less than the others; trying one that stays slow takes about 5% of an equal share. An
endpoint that owes a byte for too long counts as late while that goes on: after four times what a
byte takes (of prompts, at least a second). So an endpoint that hung or was busy has its share back
within a minute, and gets hardly anything meanwhile; `tests/contract/test_recovering.py` holds all
policies with feedback to it.
"""


def catalogue() -> str:
    """The whole document."""
    parts = [_OPENING.replace("EXAMPLE", _EXAMPLE.read_text("utf-8")), _overview()]
    for name, policy in policies().items():
        parts += [f"## {name}\n", _text(documentation(policy)), _options(policy.options)]
    parts.append("# Limits on concurrency\n")
    for name, limit in limits().items():
        parts += [
            f"## {name}\n",
            _text(module_docstring(limit.__module__)),
            _options(limit.options),
        ]
    parts.append("# Other protection\n")
    for module in _protections():
        parts += [f"## {_title(module)}\n", _text(module_docstring(module))]
    return "\n".join(part for part in parts if part)


def _overview() -> str:
    rows = [
        "| Policy | In short | Weights | Key | Consistent | Feedback |",
        "|---|---|---|---|---|---|",
    ]
    for name, policy in policies().items():
        first, _, _ = documentation(policy).replace("``", "`").partition("\n")
        marks = " | ".join(_marks(policy))
        rows.append(f"| [{name}](#{name}) | {first.partition(': ')[2] or first} | {marks} |")
    return "\n".join(rows) + "\n"


def _marks(policy: type[Policy]) -> list[str]:
    return [
        "yes" if policy.weighted else "",
        policy.key,
        "yes" if policy.consistent else "",
        "probes" if policy.probes else "yes" if policy.observes else "",
    ]


def _options(options: tuple[Option, ...]) -> str:
    if not options:
        return ""
    rows = ["| Option | Default | Values | Meaning |", "|---|---|---|---|"]
    rows += [f"| `{o.name}` | {_value(o.default)} | {_range(o)} | {o.meaning} |" for o in options]
    return "\n".join(rows) + "\n"


def _value(value: int | float | str | bool) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else ""


def _range(option: Option) -> str:
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    bounds = []
    if option.minimum is not None:
        bounds.append(f"at least {option.minimum:g}")
    if option.maximum is not None:
        bounds.append(f"at most {option.maximum:,.12g}")
    return ", ".join(bounds)


def _protections() -> list[str]:
    of_limits = {limit.__module__ for limit in limits().values()}
    found = [f"{admission.__name__}.{module.name}" for module in iter_modules(admission.__path__)]
    others = [
        name for name in found if name not in of_limits and name.rpartition(".")[2] not in _PARTS
    ]
    return others + [f"penstock.core.{name}" for name in _STATE_MACHINES]


def _text(docstring: str) -> str:
    """A docstring as Markdown: its indented lines are code there too."""
    return docstring.replace("``", "`") + "\n"


def _title(module: str) -> str:
    return module.rpartition(".")[2].replace("_", " ").capitalize()


if __name__ == "__main__":
    FILE.write_text(catalogue())
