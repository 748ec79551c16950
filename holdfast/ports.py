"""Free ports of this machine, for servers that are started a moment later."""

import itertools
import random
import socket

_PORTS = range(20_000, 32_000)
"""Below those that the kernel lends to connections: one of these would come in between, now and then."""

_turns = itertools.count(random.randrange(len(_PORTS)))  # noqa: S311 - where to begin is no secret


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened at a moment ago. This process is not given it again for long.

    Raises:
        OSError: all are taken.
    """
    for turn in itertools.islice(_turns, len(_PORTS)):
        port = _PORTS[turn % len(_PORTS)]
        with socket.socket() as probe:
            # As servers do: a connection that closed a moment ago does not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free on 127.0.0.1")
