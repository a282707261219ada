"""Where the `andon` command starts: what it consists of is in `console.commands`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C ends it without a traceback, at any time."""
    try:
        from console.commands import app  # takes a while, and Ctrl-C may come

        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
