"""Where the `trunkline` command starts: roles and their supervisor import only what they run: gateways stay small, sites start quickly."""

import sys

from trunkline.model.errors import TrunklineError


def main() -> None:
    """Run the command line. What no command expects is still told in a sentence, where it is one of our errors or the system's."""
    try:
        _dispatch()
    except (TrunklineError, OSError) as error:
        from trunkline.cli.output import complain  # noqa: PLC0415 - see above

        complain(str(error))
        sys.exit(2)


def _dispatch() -> None:
    if sys.argv[1:2] == ["run"]:
        from trunkline.cli.run import app as run_app  # noqa: PLC0415 - see above

        run_app(args=sys.argv[2:], prog_name="trunkline run")
    elif sys.argv[1:2] == ["up"]:
        from trunkline.cli.up import app as up_app  # noqa: PLC0415 - see above

        up_app(args=sys.argv[2:], prog_name="trunkline up")
    else:
        from trunkline.cli.main import app  # noqa: PLC0415 - see above

        app()


if __name__ == "__main__":
    main()
