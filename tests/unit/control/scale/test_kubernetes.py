"""Replicas of a Deployment and a StatefulSet, with a stand-in that keeps the API's rules."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from penstock.control.background import BackgroundTasks
from penstock.control.events import Events
from penstock.control.scale.actuator import ActuatorError, AdoptedError, Tools, Unit
from penstock.control.scale.actuators.kubernetes import Kubernetes
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Endpoint, Scale
from tests.unit.control.conftest import Clock
from tests.unit.control.scale.cluster import COST, Cluster

Serve = Callable[[Cluster], Awaitable[Kubernetes]]


@pytest.fixture
async def serve(events: Events, clock: Clock, tmp_path: Path) -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []
    made: list[Kubernetes] = []

    async def sleep(seconds: float) -> None:
        pass

    async def probe(endpoint: Endpoint, path: str) -> str:
        return ""

    async def begin(cluster: Cluster) -> Kubernetes:
        application = web.Application()
        application.add_routes(cluster.routes())
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        cluster.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        (tmp_path / "token").write_text("right\n")
        options = {
            "deployment": "llm" if cluster.kind == "deployments" else None,
            "statefulset": "llm" if cluster.kind == "statefulsets" else None,
            "namespace": "ai",
            "server": cluster.url,
            "token_file": str(tmp_path / "token"),
            "ca_file": None,
        }
        tools = Tools(
            events, BackgroundTasks(events), StateFiles(None, events), clock, sleep, probe
        )
        made.append(Kubernetes("main", Scale(max=9, start_timeout_s=100.0), options, tools))
        return made[-1]

    yield begin
    for actuator in made:
        await actuator.close()
    for runner in runners:
        await runner.cleanup()


def names(actuator: Kubernetes, state: str) -> list[str]:
    return [unit.name for unit in actuator.units() if unit.state == state]


def unit(actuator: Kubernetes, name: str) -> Unit:
    return next(each for each in actuator.units() if each.name == name)


async def test_more_are_asked_for_and_stand_there_until_their_pods_come(serve: Serve) -> None:
    cluster = Cluster(replicas=1)
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    await actuator.start(2)
    assert cluster.replicas == 3
    await actuator.look()
    assert names(actuator, "starting") == ["llm~1", "llm~2"]  # no pod yet, and they count
    cluster.reconcile(ready=False)
    await actuator.look()
    assert [unit(actuator, n).was for n in names(actuator, "starting")] == ["llm~1", "llm~2"]
    cluster.make_ready("llm-5c9-2")
    await actuator.look()
    assert names(actuator, "ready") == ["llm-5c9-1", "llm-5c9-2"]
    assert unit(actuator, "llm-5c9-2").host == "10.0.0.2"  # by which its endpoint is found


async def test_of_a_deployment_the_pod_that_was_drained_is_the_one_removed(serve: Serve) -> None:
    cluster = Cluster(replicas=3)
    cluster.reconcile()
    cluster.pods["llm-5c9-1"]["metadata"]["annotations"][COST] = "-100"
    actuator = await serve(cluster)
    await actuator.look()
    await actuator.stop("llm-5c9-2")
    await actuator.look()
    assert names(actuator, "stopping") == ["llm-5c9-2"]
    cluster.reconcile()
    assert cluster.removed == ["llm-5c9-2"]
    await actuator.look()
    assert names(actuator, "ready") == ["llm-5c9-1", "llm-5c9-3"]
    assert len(actuator.units()) == 2


async def test_nobody_is_removed_while_another_would_go_in_its_place(serve: Serve) -> None:
    cluster = Cluster(replicas=3)
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    cluster.make_ready("llm-5c9-3", ready=False)
    with pytest.raises(ActuatorError, match="llm-5c9-3 is not ready, and would be in its place"):
        await actuator.stop("llm-5c9-2")
    cluster.make_ready("llm-5c9-3")
    cluster.pods["llm-5c9-3"]["metadata"]["annotations"][COST] = "-2147483648"
    with pytest.raises(ActuatorError, match="take that annotation away"):
        await actuator.stop("llm-5c9-2")
    assert cluster.replicas == 3
    assert unit(actuator, "llm-5c9-2").state == "ready"


async def test_during_a_rollout_nobody_can_be_said_to_go(serve: Serve) -> None:
    cluster = Cluster(replicas=2)
    cluster.reconcile()
    cluster.replica_set, cluster.replicas = "7d1", 3
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    assert not any(each.removable for each in actuator.units())
    assert "rollout" in actuator.trouble
    with pytest.raises(ActuatorError, match="during a rollout"):
        await actuator.stop("llm-5c9-1")


async def test_who_was_spared_serves_again_and_is_not_marked_any_more(serve: Serve) -> None:
    cluster = Cluster(replicas=3)
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    await actuator.stop("llm-5c9-2")
    cluster.replicas = 3  # by hand, before the controller had removed it
    await actuator.look()
    assert len(names(actuator, "ready")) == 3
    assert COST not in cluster.pods["llm-5c9-2"]["metadata"]["annotations"]


async def test_of_a_statefulset_the_highest_ordinal_goes_and_no_other(serve: Serve) -> None:
    cluster = Cluster("statefulsets", replicas=3)
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    by_turn = sorted(actuator.units(), key=lambda each: each.turn)
    assert [each.name for each in by_turn] == ["llm-2", "llm-1", "llm-0"]
    with pytest.raises(ActuatorError, match="llm-1 cannot be removed before llm-2"):
        await actuator.stop("llm-1")
    await actuator.stop("llm-2")
    await actuator.stop("llm-1")
    cluster.reconcile()
    assert cluster.removed == ["llm-2", "llm-1"]


async def test_a_conflict_is_tried_again_on_what_is_there_now(serve: Serve) -> None:
    cluster = Cluster(replicas=1)
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    cluster.conflicts = 2  # its status was written in between
    await actuator.start(1)
    assert cluster.replicas == 2
    cluster.conflicts = 9
    with pytest.raises(ActuatorError, match="changes all the time"):
        await actuator.start(1)


async def test_a_number_that_others_changed_is_adopted_and_not_overwritten(serve: Serve) -> None:
    cluster = Cluster(replicas=1)
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    cluster.replicas = 4
    with pytest.raises(AdoptedError, match="others changed Deployment ai/llm from 1 to 4"):
        await actuator.start(1)
    assert cluster.replicas == 4
    await actuator.look()
    assert len(actuator.units()) == 4
    assert all(each.was == "" for each in actuator.units())  # news to the planner


async def test_a_pod_that_dies_is_replaced_in_its_place(serve: Serve) -> None:
    cluster = Cluster(replicas=2)
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    del cluster.pods["llm-5c9-1"]
    await actuator.look()
    (placeholder,) = names(actuator, "starting")
    assert unit(actuator, placeholder).was == "llm-5c9-1"
    cluster.reconcile()
    await actuator.look()
    assert unit(actuator, "llm-5c9-3").was == placeholder


async def test_pods_of_another_owner_are_never_counted(serve: Serve) -> None:
    cluster = Cluster(replicas=2)
    cluster.reconcile()
    cluster.pods["llm-5c9-2"]["metadata"]["ownerReferences"][0]["name"] = "theirs-5c9"
    cluster.replicas = 1
    actuator = await serve(cluster)
    await actuator.look()
    assert names(actuator, "ready") == ["llm-5c9-1"]


async def test_what_the_server_refuses_is_said_with_what_to_do(serve: Serve) -> None:
    cluster = Cluster(replicas=1)
    cluster.reconcile()
    actuator = await serve(cluster)
    cluster.allowed = {"pods"}
    with pytest.raises(
        ActuatorError, match=r"403: .*cannot get scale; it needs `get` and `update`"
    ):
        await actuator.look()
    cluster.allowed = {"scale", "pods"}
    cluster.kind = "statefulsets"
    with pytest.raises(ActuatorError, match=r"404: .*not found; look at `deployment`"):
        await actuator.look()


async def test_a_mark_is_taken_back_where_the_number_may_not_be_changed(serve: Serve) -> None:
    cluster = Cluster(replicas=2)
    cluster.reconcile()
    actuator = await serve(cluster)
    await actuator.look()
    cluster.conflicts = 9
    with pytest.raises(ActuatorError):
        await actuator.stop("llm-5c9-2")
    assert COST not in cluster.pods["llm-5c9-2"]["metadata"]["annotations"]


async def test_why_a_pod_does_not_get_ready_is_told(serve: Serve, clock: Clock) -> None:
    cluster = Cluster(replicas=1)
    cluster.reconcile(ready=False)
    actuator = await serve(cluster)
    await actuator.look()
    assert actuator.trouble == ""
    clock.now += 200.0
    await actuator.look()
    assert "ContainersNotReady: pulling the image" in actuator.trouble


async def test_an_unreachable_server_is_a_reason(serve: Serve, unused_tcp_port: int) -> None:
    actuator = await serve(Cluster(replicas=1))
    actuator._access._server = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(ActuatorError, match="refused"):
        await actuator.look()
    assert actuator.units() == []
