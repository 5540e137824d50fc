"""What the machine and one process have used of the processors, to know a disturbed timing from a quiet one."""

import os
from pathlib import Path


def busy_seconds() -> float:
    """CPU seconds that everything on this machine has used since it started; 0 where /proc does not say."""
    return _ticks("/proc/stat", "cpu", (0, 1, 2, 5, 6, 7))  # user, nice, system, irq, softirq, stolen


def process_seconds(pid: int) -> float:
    """CPU seconds that the process and all its threads have used; 0 where /proc does not say."""
    return _ticks(f"/proc/{pid}/stat", ")", (11, 12))  # user and system, counted from the end of the program's name


def resident_bytes(pid: int | None = None) -> int:
    """Memory of the process (this one) that lies in RAM; 0 where /proc does not say."""
    try:
        pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _ticks(path: str, after: str, columns: tuple[int, ...]) -> float:
    try:
        words = Path(path).read_text().splitlines()[0].rpartition(after)[2].split()
    except OSError:
        return 0.0
    return sum(int(words[column]) for column in columns) / os.sysconf("SC_CLK_TCK")
