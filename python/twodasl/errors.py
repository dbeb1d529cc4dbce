"""The one exception that a user's mistake raises."""


class InputError(ValueError):
    """A problem with something the user supplied: a file, an argument, a checkpoint.

    The message is one sentence: what, where, what was expected, what came, what to do. The command line
    prints it as it is and exits with code 2.
    """
