"""Where the `trunkline` command starts: roles import only what they run, so that a gateway stays small."""

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["run"]:
        from trunkline.cli.run import app as run_app  # noqa: PLC0415 - see above

        run_app(args=sys.argv[2:], prog_name="trunkline run")
    else:
        from trunkline.cli.main import app  # noqa: PLC0415 - see above

        app()


if __name__ == "__main__":
    main()
