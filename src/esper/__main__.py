"""``python -m esper``: the ``karn`` command, as torchrun starts it."""

from esper.cli import main

if __name__ == "__main__":
    main()
