"""Drills, as users call them."""

import json
import subprocess
import sys
from typing import Any


def drill(name: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run a drill; return its exit status, its figures, and what it said to people."""
    command = [sys.executable, "-m", "trunkline.cli.entry", "drill", name, "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}, done.stderr
