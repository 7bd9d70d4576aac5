"""What of a machine does harm to what a file asks for."""

from dataclasses import replace
from pathlib import Path

from penstock.control.doctor.finding import Finding, Harm
from penstock.control.doctor.machine import Machine, judge_machine, read_machine
from tests.unit.config.documents import MINIMAL, load

GOOD = Machine(
    descriptors=1 << 20,
    somaxconn=4096,
    outgoing_ports=28232,
    memory_bytes=8 << 30,
    synchronized=True,
    now_s=1.8e9,
    cores=4,
    form="compiled",
)


def judged(tmp_path: Path, text: str = "", **changes: object) -> list[Finding]:
    configured = load(f"workers: 4\n{text or MINIMAL}", tmp_path)
    return list(judge_machine(replace(GOOD, **changes), configured))  # type: ignore[arg-type]


def test_a_machine_that_is_in_order_gets_no_finding(tmp_path: Path) -> None:
    assert judged(tmp_path) == []


def test_few_descriptors_are_a_warning_and_some_are_advice(tmp_path: Path) -> None:
    [few] = judged(tmp_path, descriptors=1024)
    assert (few.harm, few.where) == (Harm.WARNING, "file descriptors")
    assert "about 512 requests" in few.what
    assert "LimitNOFILE" in few.do
    [some] = judged(tmp_path, descriptors=20000)
    assert some.harm is Harm.ADVICE


def test_as_many_descriptors_as_a_listener_lets_connect_are_needed(tmp_path: Path) -> None:
    text = "listeners: {a: {address: ':8080', limits: {connections: 100000}}}\nendpoints: a:1\n"
    [few] = judged(tmp_path, text, descriptors=20000)
    assert few.harm is Harm.WARNING


def test_a_short_queue_of_the_kernel_is_told_with_the_command_that_makes_it_longer(
    tmp_path: Path,
) -> None:
    [short] = judged(tmp_path, somaxconn=128)
    assert (short.harm, short.do) == (Harm.WARNING, "sysctl net.core.somaxconn=4096")


def test_a_clock_before_this_was_written_is_an_error(tmp_path: Path) -> None:
    [wrong] = judged(tmp_path, now_s=0.0)
    assert (wrong.harm, wrong.where) == (Harm.ERROR, "clock")
    assert "1970-01-01" in wrong.what
    [drifting] = judged(tmp_path, synchronized=False)
    assert drifting.harm is Harm.ADVICE
    assert judged(tmp_path, synchronized=None) == []


def test_the_prompts_that_workers_may_hold_have_to_fit_into_memory(tmp_path: Path) -> None:
    text = "endpoints: a:1\nkind: llm\n"
    [short] = judged(tmp_path, text, memory_bytes=1 << 30)
    assert (short.harm, short.where) == (Harm.WARNING, "memory")
    assert "4 workers may take 1280 MiB" in short.what
    assert judged(tmp_path, memory_bytes=1 << 30) == []


def test_more_workers_than_cores_and_the_interpreted_form_are_advice(tmp_path: Path) -> None:
    found = judged(tmp_path, cores=2, form="interpreted", outgoing_ports=1000)
    assert [each.where for each in found] == ["outgoing ports", "workers", "penstock"]
    assert {each.harm for each in found} == {Harm.ADVICE}


def test_a_container_has_the_memory_that_its_group_leaves(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   1048576 kB\n")
    assert read_machine(proc=tmp_path, cgroup=tmp_path / "none").memory_bytes == 1 << 30
    (tmp_path / "memory.max").write_text("536870912\n")
    (tmp_path / "memory.current").write_text("268435456\n")
    assert read_machine(proc=tmp_path, cgroup=tmp_path).memory_bytes == 1 << 28
