"""A worker's process.

    python -m penstock.dataplane.worker --index 0 --board FD --mailbox FD

The supervisor starts it so; the descriptors are inherited.
"""

import argparse
import sys

from penstock.dataplane.worker.run import run


def main() -> None:
    """The command line that the supervisor uses."""
    parser = argparse.ArgumentParser(prog="penstock.dataplane.worker", description=__doc__)
    parser.add_argument("--index", type=int, required=True, help="which worker this is, from 0")
    parser.add_argument("--board", type=int, required=True, help="descriptor of the board")
    parser.add_argument("--mailbox", type=int, required=True, help="descriptor of the mailbox")
    parser.add_argument(
        "--wakers",
        default="0",
        help="index of the first worker, and the descriptors by which they wake one another",
    )
    parser.add_argument(
        "--modules", action="append", default=[], help="a directory with modules of policies"
    )
    given = parser.parse_args()
    sys.path += [directory for directory in given.modules if directory not in sys.path]
    wakers = [int(each) for each in given.wakers.split(",")]
    sys.exit(run(given.index, given.board, given.mailbox, wakers))


if __name__ == "__main__":
    main()
