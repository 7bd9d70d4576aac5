"""Load generators of others: each of their requests is answered, whole, and none is left behind."""

import json
from pathlib import Path

from tests.clients.conftest import SCRIPTS, of_client, output
from tests.harness.serving import MODEL, Serving, serving


async def test_locusts_users_by_both_of_its_clients_see_no_failure(
    served: Serving, tmp_path: Path
) -> None:
    program = of_client("locust", "locust")
    chosen = (
        "--headless",
        "--users",
        "8",
        "--spawn-rate",
        "8",
        "--run-time",
        "120s",
        "--only-summary",
    )
    file = str(SCRIPTS / "locustfile.py")
    printed = await output(
        program, "-f", file, "--host", served.url, *chosen, directory=tmp_path, MODEL=MODEL
    )
    [line] = [line for line in printed.splitlines() if line.startswith("{")]
    told = json.loads(line)
    assert {*told} == {"whole", "streamed"}  # and none that failed
    assert min(told.values()) >= 20
    await served.until_idle()


async def test_guidellm_counts_no_request_but_successful_ones(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(f'{{"prompt": "story {number}"}}\n' for number in range(40)))
    report = tmp_path / "report.json"
    async with serving(tmp_path, mean_answer_tokens=8) as served:
        await output(
            *(of_client("guidellm", "guidellm"), "run", "--disable-console"),
            *("--backend", f"kind=openai_http,target={served.url},model={MODEL}"),
            *("--profile", "kind=concurrent,streams=4"),
            *("--constraint", "kind=max_requests,count=24"),
            *("--data", f"kind=json_file,path={prompts}"),
            *("--output", f"kind=json,path={report}"),
            directory=tmp_path,
        )
        await served.until_idle()
    [benchmark] = json.loads(report.read_text())["benchmarks"]
    totals = benchmark["metrics"]["request_totals"]
    # Those that end together with the last one may be left out of its count.
    assert totals["successful"] >= 24 - 4
    assert totals["successful"] == totals["total"]
