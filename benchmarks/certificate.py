"""A certificate made at run time: ECDSA P-256, the same files for every balancer."""

from pathlib import Path

import trustme

from benchmarks.site import Certificate


def make_certificate(directory: Path) -> Certificate:
    """For ``localhost`` and ``127.0.0.1``, signed by an authority that is thrown away."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)  # P-256
    issued = authority.issue_cert("localhost", "127.0.0.1", key_type=trustme.KeyType.ECDSA)
    files = Certificate(
        directory / "certificate.pem", directory / "key.pem", directory / "bundle.pem"
    )
    chain = b"".join([part.bytes() for part in issued.cert_chain_pems])
    key = issued.private_key_pem.bytes()
    files.certificate.write_bytes(chain)
    files.key.write_bytes(key)
    files.bundle.write_bytes(chain + key)
    return files
