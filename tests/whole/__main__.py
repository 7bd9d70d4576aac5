"""``python -m tests.whole --seed N --steps M``: runs of chance, or one that failed once more."""

import argparse
import sys
from time import perf_counter, process_time

from tests.whole.episode import EPISODE_STEPS, Episode, Failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.whole", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next one has +1")
    parser.add_argument("--steps", type=int, default=100_000, help="in all")
    parser.add_argument("--seconds", type=float, default=0.0, help="as many steps as fit, instead")
    parser.add_argument("--events", type=int, default=60, help="to show of a run that failed")
    options = parser.parse_args()
    began, busy = perf_counter(), process_time()
    done, acts, seed = 0, 0, options.seed
    ends: dict[str, int] = {}
    while perf_counter() - began < options.seconds if options.seconds else done < options.steps:
        steps = EPISODE_STEPS if options.seconds else min(EPISODE_STEPS, options.steps - done)
        with Episode(seed) as episode:
            episode.shown = options.events
            try:
                episode.run(steps)
            except Failed as failure:
                print(failure, file=sys.stdout)
                return 1
        for how, times in episode.book.ends.items():
            kind = " ".join(how.split(" ")[:2])
            ends[kind] = ends.get(kind, 0) + times
        done += steps
        acts += episode.acts
        seed += 1
    took, busy = perf_counter() - began, process_time() - busy
    print(f"{done} steps, seeds {options.seed} to {seed - 1}; {acts} of parties, the rest of time")
    print(f"{took:.1f} s, {done / busy * 60:,.0f} steps a minute of processor time")
    print(", ".join(f"{times} {how}" for how, times in sorted(ends.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
