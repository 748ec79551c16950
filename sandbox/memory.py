"""How much memory this machine has left. In a container it is the machine's, not the container's."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


def available_share() -> float:
    """Of all memory, the part that can still be had without swapping, 0.0 to 1.0; 1.0 where no one tells. 30 µs."""
    try:
        head = _MEMINFO.read_bytes()[:256]
    except OSError:
        return 1.0
    rows = dict(line.split(b":", 1) for line in head.splitlines() if b":" in line)
    if b"MemTotal" not in rows or b"MemAvailable" not in rows:
        return 1.0
    return _kilobytes(rows[b"MemAvailable"]) / _kilobytes(rows[b"MemTotal"])


def _kilobytes(value: bytes) -> int:
    return int(value.split()[0])
