"""From the document to the snapshot: where further endpoints of a pool are found."""

from glob import glob
from pathlib import Path
from typing import Final

from penstock.config.compile.certificates import check_authorities
from penstock.config.document.discover import Discover
from penstock.config.document.endpoint_url import EndpointUrl
from penstock.config.document.pools import Pool
from penstock.config.document.section import plain
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.config.load.kubeconfig import read_kubeconfig
from penstock.config.load.targets import read_targets
from penstock.core.snapshot import discovery
from penstock.core.snapshot.discovery import found_endpoint, protocol_of

_PATTERN: Final = "*?"


def urls_of(pool: Pool) -> list[EndpointUrl]:
    """What the endpoints of a pool speak, those that are listed and those that will be found."""
    return [endpoint.url for endpoint in pool.endpoints] + [
        EndpointUrl(
            "",
            each.port,
            tls=each.scheme == "https",
            protocol=protocol_of(each.scheme),
            http2=each.scheme == "h2c",
        )
        for each in pool.discover
    ]


def compile_discover(
    pool: Pool, at: Location, findings: Findings
) -> tuple[discovery.Discovery, ...]:
    """As the supervisor's providers take it. What is wrong is noted."""
    compiled: list[discovery.Discovery] = []
    for index, each in enumerate(pool.discover):
        here = (*at, "discover", index) if len(pool.discover) > 1 else (*at, "discover")
        if each.models and pool.kind != "llm":
            findings.wrong((*here, "models"), "has no effect: the pool is not of kind llm")
        made = plain(discovery.Discovery, each, settings=_settings(each, here, findings))
        if any(made.settings == other.settings for other in compiled):
            findings.wrong(here, f"{made.shown} is listed twice")
        compiled.append(made)
        if isinstance(made.settings, discovery.FileDiscovery):
            _check_files(made, (*here, "file"), findings)
    return tuple(compiled)


def _settings(each: Discover, at: Location, findings: Findings) -> discovery.ProviderSettings:
    if each.dns is not None:
        return plain(discovery.DnsDiscovery, each.dns)
    if each.file is not None:
        return plain(discovery.FileDiscovery, each.file, path=str(findings.path(each.file.path)))
    if each.docker is not None:
        return plain(discovery.DockerDiscovery, each.docker)
    if each.kubernetes is not None:
        kubernetes = each.kubernetes
        files = {key: getattr(kubernetes, key) for key in ("token_file", "ca_file", "kubeconfig")}
        given = {key: str(findings.path(file)) if file else "" for key, file in files.items()}
        if given["kubeconfig"]:
            with findings.noting((*at, each.provider, "kubeconfig")):
                read_kubeconfig(Path(given["kubeconfig"]), kubernetes.context)
        return plain(
            discovery.KubernetesDiscovery, kubernetes, server=kubernetes.server or "", **given
        )
    asked = each.http or each.consul
    assert asked is not None  # one of them is, see `Discover`
    ca_file = str(findings.path(asked.ca_file)) if asked.ca_file else ""
    if ca_file:
        with findings.noting((*at, each.provider, "ca_file")):
            check_authorities(Path(ca_file))
    headers = tuple(asked.headers.items())
    if each.http is not None:
        return plain(discovery.HttpDiscovery, asked, headers=headers, ca_file=ca_file)
    return plain(discovery.ConsulDiscovery, asked, headers=headers, ca_file=ca_file)


def _check_files(each: discovery.Discovery, at: Location, findings: Findings) -> None:
    """What is in it now can be used. It may come later, which is only doubtful."""
    assert isinstance(each.settings, discovery.FileDiscovery)
    path = Path(each.settings.path)
    if any(mark in str(path.parent) for mark in _PATTERN):
        findings.wrong(at, f"{path}: only the last part of the path may hold * and ?")
        return
    paths = sorted(glob(str(path))) if any(mark in path.name for mark in _PATTERN) else [str(path)]
    if not paths or not Path(paths[0]).exists():
        findings.doubtful(at, f"{path} is not there: endpoints are read from it once it is")
        return
    for found in paths:
        try:
            data = Path(found).read_bytes()
        except OSError as error:
            findings.wrong(at, f"{found} cannot be read: {error.strerror}")
            continue
        with findings.noting(at):
            for target in read_targets(data, found):
                found_endpoint(each, target)
