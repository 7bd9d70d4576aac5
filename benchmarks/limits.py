"""How many descriptors a process of the benchmark may have."""

import resource


def most_descriptors() -> int:
    """The hard limit: what a program can raise its own limit to."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def raise_descriptor_limit() -> None:
    """To the hard limit, for this process and those that it starts."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_descriptors(), most_descriptors()))
