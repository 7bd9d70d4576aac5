"""An Auto Scaling group, at moto's server, which keeps AWS's rules of groups and instances."""

import asyncio
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from penstock.control.background import BackgroundTasks
from penstock.control.events import Events
from penstock.control.scale.actuator import ActuatorError, AdoptedError, Tools
from penstock.control.scale.actuators.aws import Aws
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Endpoint, Scale
from tests.unit.control.conftest import Clock

REGION = "eu-central-1"


class Cloud:
    """The group `llm`, of which others change things too."""

    def __init__(self, url: str) -> None:
        self.url = url
        settings = {"region_name": REGION, "endpoint_url": url}
        self.scaling: Any = boto3.client("autoscaling", **settings)
        self.machines: Any = boto3.client("ec2", **settings)
        self.scaling.create_launch_configuration(
            LaunchConfigurationName="llm", ImageId="ami-12c6146b", InstanceType="t3.micro"
        )
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName="llm",
            LaunchConfigurationName="llm",
            MinSize=1,
            MaxSize=4,
            DesiredCapacity=2,
            AvailabilityZones=["eu-central-1a"],
        )

    def group(self) -> dict[str, Any]:
        said = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["llm"])
        found: dict[str, Any] = said["AutoScalingGroups"][0]
        return found

    def names(self) -> list[str]:
        return [each["InstanceId"] for each in self.group()["Instances"]]

    def set_desired(self, count: int) -> None:
        self.scaling.set_desired_capacity(AutoScalingGroupName="llm", DesiredCapacity=count)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        made = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        made.start()
        host, port = made.get_host_and_port()
        yield f"http://{host}:{port}"
        made.stop()


@pytest.fixture
def cloud(server: str) -> Iterator[Cloud]:
    made = Cloud(server)
    yield made
    made.scaling.delete_auto_scaling_group(AutoScalingGroupName="llm", ForceDelete=True)
    made.scaling.delete_launch_configuration(LaunchConfigurationName="llm")


class Hands:
    """The actuator, and whether instances answer."""

    def __init__(self, url: str, events: Events, clock: Clock, **options: Any) -> None:
        self.silent: set[str] = set()

        async def sleep(seconds: float) -> None:
            pass

        async def probe(endpoint: Endpoint, path: str) -> str:
            return "no answer" if endpoint.name in self.silent else ""

        given = {"group": "llm", "port": 8000, "region": REGION, "ready": "/health", "url": url}
        tools = Tools(
            events, BackgroundTasks(events), StateFiles(None, events), clock, sleep, probe
        )
        rules = Scale(max=9, start_timeout_s=100.0, max_in_flight=7)
        self.actuator = Aws("main", rules, given | options, tools)
        self.clock = clock

    async def look(self) -> None:
        self.clock.now += 20.0
        await self.actuator.look()

    def states(self) -> list[str]:
        return [each.state for each in self.actuator.units()]


@pytest.fixture
def hands(cloud: Cloud, events: Events, clock: Clock) -> Hands:
    return Hands(cloud.url, events, clock)


async def test_instances_that_answer_are_endpoints(cloud: Cloud, hands: Hands) -> None:
    names = cloud.names()
    hands.silent = {names[1]}
    await hands.look()
    assert hands.states() == ["ready", "starting"]
    endpoint = hands.actuator.units()[0].endpoint
    assert endpoint is not None
    assert (endpoint.name, endpoint.port, endpoint.max_in_flight) == (names[0], 8000, 7)
    assert endpoint.host.startswith(("10.", "172."))
    assert endpoint.zone == "eu-central-1a"


async def test_more_are_asked_for_by_the_desired_capacity(cloud: Cloud, hands: Hands) -> None:
    await hands.look()
    await hands.actuator.start(1)
    assert cloud.group()["DesiredCapacity"] == 3
    (awaited,) = [each for each in hands.actuator.units() if each.state == "starting"]
    assert (awaited.name, awaited.removable) == ("llm~1", False)
    await hands.look()
    assert hands.states() == ["ready"] * 3
    assert [each.was for each in hands.actuator.units()] == ["", "", "llm~1"]


async def test_the_one_that_was_drained_is_terminated_and_none_comes_for_it(
    cloud: Cloud, hands: Hands
) -> None:
    await hands.look()
    first, second = cloud.names()
    await hands.actuator.stop(second)
    assert hands.states() == ["ready", "stopping"]
    assert cloud.group()["DesiredCapacity"] == 1
    assert cloud.names() == [first]
    await hands.look()
    assert [each.name for each in hands.actuator.units()] == [first]


async def test_the_bounds_of_the_group_hold_and_are_told(cloud: Cloud, hands: Hands) -> None:
    await hands.look()
    await hands.actuator.start(9)
    assert cloud.group()["DesiredCapacity"] == 4  # its MaxSize
    with pytest.raises(ActuatorError, match="may have at most 4 instances: raise its MaxSize"):
        await hands.actuator.start(1)


async def test_a_number_that_others_changed_is_adopted(cloud: Cloud, hands: Hands) -> None:
    await hands.look()
    await asyncio.to_thread(cloud.set_desired, 3)
    with pytest.raises(AdoptedError, match="from 2 to 3"):
        await hands.actuator.start(1)
    await hands.look()
    assert len(hands.actuator.units()) == 3
    assert all(each.was == "" for each in hands.actuator.units())  # news to the planner


async def test_who_is_protected_from_scale_in_is_not_ours_to_remove(
    cloud: Cloud, hands: Hands
) -> None:
    first, second = cloud.names()
    cloud.scaling.set_instance_protection(
        AutoScalingGroupName="llm", InstanceIds=[first], ProtectedFromScaleIn=True
    )
    await hands.look()
    removable = {each.name: each.removable for each in hands.actuator.units()}
    assert removable == {first: False, second: True}


async def test_why_an_instance_does_not_serve_is_told(cloud: Cloud, hands: Hands) -> None:
    hands.silent = set(cloud.names())
    await hands.look()
    hands.clock.now += 200.0
    await hands.look()
    assert "does not serve after its `start_timeout`: no answer" in hands.actuator.trouble


async def test_what_cannot_be_asked_is_a_reason(
    cloud: Cloud, events: Events, clock: Clock, unused_tcp_port: int
) -> None:
    nowhere = Hands(f"http://127.0.0.1:{unused_tcp_port}", events, clock)
    with pytest.raises(ActuatorError, match="AWS cannot be asked: Could not connect"):
        await nowhere.look()
    with pytest.raises(ActuatorError, match="no Auto Scaling group other: look at `group`"):
        await Hands(cloud.url, events, clock, group="other").look()
    with pytest.raises(ActuatorError, match=r"AWS refuses describe_instances: .*does not exist"):
        await Hands(cloud.url, events, clock).actuator._find_addresses(["i-0123456789abcdef0"])


async def test_a_permission_that_is_missing_is_named(hands: Hands) -> None:
    class Denied:
        def describe_auto_scaling_groups(self, **_: object) -> None:
            said = {"Error": {"Code": "AccessDenied", "Message": "User is not authorized"}}
            raise ClientError(said, "DescribeAutoScalingGroups")

    hands.actuator._clients["autoscaling"] = Denied()
    with pytest.raises(ActuatorError, match="not authorized; it needs autoscaling:Describe"):
        await hands.look()
