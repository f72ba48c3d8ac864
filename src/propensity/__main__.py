"""``python -m propensity``."""

from propensity.cli import main

if __name__ == "__main__":  # processes of a backtest import it, too
    main()
