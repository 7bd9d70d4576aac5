"""What goes together of what watches streamed answers token by token."""

from typing import Final

from penstock.config.document.pools import Pool
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings

_TOKEN_KEYS: Final = ("first_token", "first_token_header", "token")
_PREEMPTIONS: Final = ("admission", "queue", "preemptions")


def check_streams(pool: Pool, at: Location, findings: Findings) -> None:
    """Tokens are known in pools of language models alone, and asking again must be allowed."""
    timeouts = pool.timeouts
    given = [key for key in _TOKEN_KEYS if getattr(timeouts, key)]
    if pool.kind != "llm":
        if pool.resume is not None:
            findings.wrong((*at, "resume"), "has no effect: the pool is not of kind llm")
        if pool.websocket_responses is not None:
            findings.wrong(
                (*at, "websocket_responses"), "has no effect: the pool is not of kind llm"
            )
        if _preempts(pool):
            findings.wrong((*at, *_PREEMPTIONS), "has no effect: the pool is not of kind llm")
        for key in given:
            findings.wrong((*at, "timeouts", key), "has no effect: the pool is not of kind llm")
        return
    if pool.resume is not None and pool.resume.exact and not pool.resume.token_ids:
        findings.wrong(
            (*at, "resume", "exact"),
            "only token ids are exact: write `token_ids: true` as well, and have engines that tell "
            "them (vLLM, llama.cpp, SGLang in text completions)",
        )
    if pool.resume is not None and not pool.retry.generations:
        findings.wrong(
            (*at, "resume"),
            "asks another endpoint for the rest, which `retry: {generations: false}` forbids",
        )
    if pool.split is not None and pool.websocket_responses is not None:
        findings.wrong(
            (*at, "websocket_responses"),
            "does not go with `split`: prompts are handed over by HTTP alone; leave one of them "
            "away, or serve WebSockets from a pool of their own",
        )
    for key in ("hedge", "resume"):
        if pool.split is not None and getattr(pool, key) is not None:
            findings.wrong((*at, key), "does not go with `split`: leave one of them away")
    if pool.drain.move_streams and pool.resume is None:
        findings.wrong(
            (*at, "drain", "move_streams"),
            "has no effect without `resume`, by which another endpoint goes on: write `resume: on`",
        )
    _check_preemptions(pool, at, findings)
    header = timeouts.first_token_header
    if header is not None and header.floor > header.ceiling:
        findings.wrong(
            (*at, "timeouts", "first_token_header", "floor"),
            "is above the `ceiling`: no client could ask for anything",
        )
    asks_elsewhere = [key for key in given if key != "token"]
    if asks_elsewhere and (pool.retry.attempts <= 1 or not pool.retry.generations):
        findings.wrong(
            (*at, "timeouts", asks_elsewhere[0]),
            "asks another endpoint, which `retry` forbids: leave `retry: off` and "
            "`generations: false` away",
        )


def _preempts(pool: Pool) -> bool:
    queue = pool.admission.queue
    return queue is not None and queue.preemptions > 0


def _check_preemptions(pool: Pool, at: Location, findings: Findings) -> None:
    """Who loses its place is asked for once more, later."""
    if not _preempts(pool):
        return
    if not pool.retry.generations:
        findings.wrong(
            (*at, *_PREEMPTIONS),
            "has requests asked for once more, which `retry: {generations: false}` forbids",
        )
    if pool.split is not None:
        findings.wrong((*at, *_PREEMPTIONS), "does not go with `split`: leave one of them away")
