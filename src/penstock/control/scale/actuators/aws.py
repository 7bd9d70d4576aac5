"""Changes the desired capacity of an Auto Scaling group of AWS.

More are asked for by the desired capacity. Whom to remove is said: that very instance is
terminated, and the desired capacity lowered with it (TerminateInstanceInAutoScalingGroup with
ShouldDecrementDesiredCapacity). boto3, which waits for answers, runs in a thread; its
chain of credentials is AWS's. Source: Amazon EC2 Auto Scaling API, version 2011-01-01.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from penstock.control.scale.actuator import Actuator, ActuatorError, AdoptedError, Tools, Unit
from penstock.control.scale.replicas import Replicas
from penstock.core.snapshot import Endpoint, Scale

_LIST_EVERY_S: Final = 15.0  # when nothing is under way: AWS bounds how often it is asked
_CONNECT_S: Final = 5.0
_READ_S: Final = 10.0
_TRIES: Final = 2
_AT_ONCE: Final = 100  # instances in one question
_MOST_SHOWN: Final = 300
_DENIED: Final = ("AccessDenied", "UnauthorizedOperation", "AuthFailure")


class Aws(Actuator):
    name: ClassVar[str] = "aws"
    owns: ClassVar[bool] = False

    def __init__(self, pool: str, rules: Scale, options: dict[str, Any], tools: Tools) -> None:
        super().__init__(pool, rules, options, tools)
        self._group = str(options["group"])
        self._replicas = Replicas(self._group)
        self._clients: dict[str, Any] = {}
        self._addresses: dict[str, str] = {}
        self._known: int | None = None  # desired capacity, as it was read or written last
        self._listed_at = -_LIST_EVERY_S

    def units(self) -> list[Unit]:
        return list(self._replicas.units.values())

    async def look(self) -> None:
        now = self.tools.clock()
        moving = any(each.state != "ready" for each in self._replicas.units.values())
        if not moving and now - self._listed_at < _LIST_EVERY_S:
            return
        group = await self._read_group()
        there = {each["InstanceId"]: each for each in group["Instances"] if _is_alive(each)}
        await self._find_addresses(list(there))
        first = self._known is None
        self._known = int(group["DesiredCapacity"])
        self._listed_at = now
        self.trouble = ""
        self._replicas.follow(dict.fromkeys(there, 0), self._known, now)
        for name, unit in self._replicas.units.items():
            # Lowering the number would leave it to AWS to say whom: not before it has a name.
            unit.removable = name in there and not there[name].get("ProtectedFromScaleIn", False)
            if name in there and unit.state == "starting":
                await self._note(unit, there[name], now, 0.0 if first else now)

    async def start(self, count: int) -> None:
        group = await self._read_group()
        desired, most = int(group["DesiredCapacity"]), int(group["MaxSize"])
        if self._known is not None and desired != self._known:
            raise AdoptedError(
                f"others changed the group {self._group} from {self._known} to {desired} "
                "instances: adopted"
            )
        wanted = min(desired + count, most)
        if wanted <= desired:
            raise ActuatorError(
                f"the group {self._group} may have at most {most} instances: raise its MaxSize, or "
                "lower `max` here"
            )
        await self._ask(
            "autoscaling",
            "set_desired_capacity",
            AutoScalingGroupName=self._group,
            DesiredCapacity=wanted,
            HonorCooldown=False,
        )
        self._known = wanted
        self._replicas.expect(wanted - desired, self.tools.clock())
        for unit in self._replicas.units.values():
            if self._replicas.is_awaited(unit.name):
                unit.removable = False

    async def stop(self, name: str) -> None:
        unit = self._replicas.units.get(name)
        if unit is None or unit.state == "stopping":
            return
        if self._replicas.is_awaited(name):
            raise AdoptedError(f"{name} is not removed before it has come")
        await self._ask(
            "autoscaling",
            "terminate_instance_in_auto_scaling_group",
            InstanceId=name,
            ShouldDecrementDesiredCapacity=True,
        )
        unit.state = "stopping"
        self._known = None if self._known is None else self._known - 1

    async def close(self) -> None:
        """What there is stays: it is the group's."""

    async def _note(
        self, unit: Unit, instance: Mapping[str, Any], now: float, ready_at: float
    ) -> None:
        """See whether it serves by now."""
        why = f"it is {instance['LifecycleState']}"
        address = self._addresses.get(unit.name)
        if address and instance["LifecycleState"] == "InService":
            endpoint = Endpoint(
                name=unit.name,
                host=address,
                port=self.options["port"],
                zone=str(instance.get("AvailabilityZone", "")),
                max_in_flight=self.rules.max_in_flight,
            )
            why = await self.tools.probe(endpoint, self.options["ready"])
            if not why:
                unit.state, unit.endpoint, unit.ready_at = "ready", endpoint, ready_at
        if why and now - unit.since > self.rules.start_timeout_s:
            self.trouble = f"{unit.name} does not serve after its `start_timeout`: {why}"

    # --- what AWS is asked ------------------------------------------------------------------

    async def _read_group(self) -> Mapping[str, Any]:
        said = await self._ask(
            "autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[self._group]
        )
        groups: list[Mapping[str, Any]] = said["AutoScalingGroups"]
        if not groups:
            raise ActuatorError(
                f"there is no Auto Scaling group {self._group}: look at `group` and `region`"
            )
        return groups[0]

    async def _find_addresses(self, names: list[str]) -> None:
        """The private ones, which instances keep."""
        self._addresses = {name: self._addresses[name] for name in names if name in self._addresses}
        unknown = [name for name in names if name not in self._addresses]
        for begin in range(0, len(unknown), _AT_ONCE):
            said = await self._ask(
                "ec2", "describe_instances", InstanceIds=unknown[begin : begin + _AT_ONCE]
            )
            for reservation in said["Reservations"]:
                for each in reservation["Instances"]:
                    if each.get("PrivateIpAddress"):
                        self._addresses[each["InstanceId"]] = each["PrivateIpAddress"]

    async def _ask(self, service: str, action: str, **words: Any) -> Any:
        """Raises ActuatorError, with what AWS says and what to do about it."""
        return await asyncio.to_thread(self._asked, service, action, words)

    def _asked(self, service: str, action: str, words: dict[str, Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError  # an extra
        from botocore.parsers import ResponseParserError

        try:
            if service not in self._clients:
                self._clients[service] = self._client(service)
            call: Callable[..., Any] = getattr(self._clients[service], action)
            return call(**words)
        except ClientError as error:
            said = error.response.get("Error", {})
            text = f"AWS refuses {action}: {str(said.get('Message', error))[:_MOST_SHOWN]}"
            if said.get("Code") in _DENIED:
                text += (
                    "; it needs autoscaling:DescribeAutoScalingGroups, "
                    "autoscaling:SetDesiredCapacity, "
                    "autoscaling:TerminateInstanceInAutoScalingGroup and ec2:DescribeInstances"
                )
            raise ActuatorError(text) from error
        except (BotoCoreError, ResponseParserError) as error:
            raise ActuatorError(f"AWS cannot be asked: {str(error)[:_MOST_SHOWN]}") from error

    def _client(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            service,
            region_name=self.options["region"],
            endpoint_url=self.options["url"],
            config=Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                retries={"total_max_attempts": _TRIES},
            ),
        )


def _is_alive(instance: Mapping[str, Any]) -> bool:
    """Whether the desired capacity counts it. Who is on standby, leaves or is kept warm is not."""
    state = str(instance["LifecycleState"])
    return state == "InService" or state.startswith("Pending")
