"""tests/bench/memory.py - memory that costs nobody more than it costs everybody."""
import mmap


def back_memory(size):
    """The host of a virtual machine takes free memory away, and whoever gets it back pays for it, up to
    three CPU seconds a GiB. So everybody begins with memory that was in use a moment ago."""
    with mmap.mmap(-1, size) as memory:
        for page in range(0, size, mmap.PAGESIZE):
            memory[page] = 1
