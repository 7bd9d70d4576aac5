"""The whole data plane on a kernel of chance: ``python -m tests.whole --help``."""
