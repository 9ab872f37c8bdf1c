"""`python -m freerelay_core.cli`: the command line without an installed script."""

from freerelay_core.cli import main

if __name__ == "__main__":
    main()
