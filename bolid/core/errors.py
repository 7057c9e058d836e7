"""The one exception users are meant to read."""


class BolidError(Exception):
    """Something the user can mend: the message says what was wrong, where, and what to do.

    The command line prints it as a single line and exits with status 1; every other exception keeps its traceback.
    """
