"""Server ids of QUIC endpoints fit the connection ids of their pool."""

from penstock.config.document.pools import Pool
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings


def check_quic(pool: Pool, at: Location, findings: Findings) -> None:
    """Each names one endpoint, and can stand in a connection id."""
    made = pool.quic_connection_ids
    if made and any(endpoint.url.protocol != "udp" for endpoint in pool.endpoints):
        findings.wrong((*at, "quic_connection_ids"), "has no effect: this is of udp:// endpoints")
        return
    if len({each.config for each in made}) < len(made):
        findings.wrong((*at, "quic_connection_ids"), "a `config` is listed twice")
    if made and not any(endpoint.quic_server_ids for endpoint in pool.endpoints):
        findings.wrong(
            (*at, "quic_connection_ids"),
            'has no effect: give endpoints their ids, as in {url: "udp://10.0.0.7:443", '
            'quic_server_ids: "hex:0000000a"}',
        )
    lengths = {each.server_id_length for each in made}
    owners: dict[bytes, str] = {}
    for index, endpoint in enumerate(pool.endpoints):
        here = (*at, "endpoints", index, "quic_server_ids")
        if endpoint.quic_server_ids and not made:
            findings.wrong(
                here,
                "has no effect: the pool does not say where connection ids have it, as in "
                "`quic_connection_ids: {server_id_length: 4}`",
            )
            continue
        for server_id in endpoint.quic_server_ids:
            if len(server_id) not in lengths:
                told = " or ".join(str(each) for each in sorted(lengths))
                findings.wrong(
                    here,
                    f"hex:{server_id.hex()} has {len(server_id)} bytes, and `server_id_length` is "
                    f"{told}",
                )
            other = owners.setdefault(server_id, endpoint.full_name())
            if other != endpoint.full_name():
                findings.wrong(here, f"hex:{server_id.hex()} is that of {other} already")
