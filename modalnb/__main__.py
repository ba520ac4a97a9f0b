"""``python -m modalnb`` is the command line, as ``modalnb`` is."""

from modalnb.cli.main import main

if __name__ == "__main__":
    main()
