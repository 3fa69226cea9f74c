"""Renews the options tables in the README of every installed source plugin (`trunkline.sources.options`).

`--check` changes nothing and fails when a table is old or a README has no place for one.
"""

import argparse
import sys

from trunkline.config.plugins import source_points
from trunkline.sources.catalogue import folder_of
from trunkline.sources.options import BEGIN, END, options, readme_with
from trunkline.sources.port import plugins


def main() -> int:
    """Renew or check every README; return the exit status."""
    parser = argparse.ArgumentParser(description="renew the options tables in the READMEs of the source plugins")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a table is old")
    parser.add_argument("plugin", nargs="*", help="names of plugins; default: all")
    arguments = parser.parse_args()
    check = arguments.check
    faults = 0
    for name, plugin in plugins().items():
        if arguments.plugin and name not in arguments.plugin:
            continue
        page = folder_of(source_points()[name].module) / "README.md"
        before = page.read_text() if page.exists() else ""
        after = readme_with(before, options(plugin))
        if after is None:
            print(f"{name}: {page} has no place for the options: put {BEGIN} and {END} there", file=sys.stderr)
        elif after != before and check:
            print(f"{name}: {page} is old: run tools/plugin_docs.py", file=sys.stderr)
        elif after != before:
            page.write_text(after)
        faults += after is None or (check and after != before)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
