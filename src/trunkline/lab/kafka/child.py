"""Becomes a program that does not outlive its parent: `python child.py PARENT PROGRAM ARGUMENT…`.

The kernel sends SIGKILL when the thread that started it is gone (Linux, prctl(2)): a paused broker would not notice anything milder.
It is run as a file, not as a module: it needs nothing of the package, and starts several times faster for it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then become the program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(arguments[0]):
            sys.exit("the parent is gone already")
    os.execv(arguments[1], arguments[1:])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
