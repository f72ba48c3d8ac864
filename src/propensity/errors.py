"""What a user can get wrong, as messages and exit codes.

A message says what is wrong, where, what was found, and what to do. The command line prints it
without a traceback and leaves with the error's exit code.
"""


class PropensityError(Exception):
    """Base of every error that is told to the user without a traceback."""

    exit_code = 2


class InputError(PropensityError):
    """The user's input is wrong: a study, a table, a file or an option (exit code 2)."""


class ConfigError(InputError):
    """A study or scorecard file does not say what it must (names file, line, found, expected)."""


class DataError(InputError):
    """A table does not hold what the study says that it holds."""


class BundleError(InputError):
    """A model bundle is damaged, too new, or does not fit the frame that it is given."""


class CheckFailedError(PropensityError):
    """A check or a gate said no (exit code 1)."""

    exit_code = 1


class EnvironmentFailedError(PropensityError):
    """The environment failed: disk, store, missing optional package (exit code 3)."""

    exit_code = 3
