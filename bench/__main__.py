"""`make bench`: everything, and docs/performance.md made of it. `--quick`, `--only` and `--profile` print to stdout."""

import argparse
import asyncio
import signal

from bench import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="raw, raw_again and holdfast, a few rounds; writes no file"
    )
    parser.add_argument("--only", choices=run.PARTS, nargs="+", help="these parts of it; writes no file")
    parser.add_argument(
        "--profile", choices=["W1", "W2", "W3", "W4", "W5"], help="where the time of a run of ours goes"
    )
    parser.add_argument("--agent", default="split", choices=["split", "fused", "activity"], help="with --profile")
    parser.add_argument("--latency", type=int, default=0, help="with --profile: ms that the model takes")
    parser.add_argument("--runs", type=int, default=15, help="with --profile")
    parser.add_argument("--kills", type=int, default=20, help="of each engine's worker")
    asked = parser.parse_args()
    # As Ctrl-C: the processes that were started are stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if asked.profile:
        asyncio.run(run.profile(asked.profile, asked.agent, asked.latency, asked.runs))
    elif asked.quick:
        asyncio.run(run.quick())
    else:
        asyncio.run(run.full(asked.only or run.PARTS, asked.kills, write=asked.only is None))


if __name__ == "__main__":
    main()
