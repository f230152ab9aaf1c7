"""Errors of the project: every one carries a single line that says what, where and the remedy.

Exit codes of all commands: 0 done, 2 wrong input, 75 stopped but resumable (`EX_TEMPFAIL` of sysexits).
"""

EXIT_WRONG_INPUT = 2
EXIT_RESUMABLE = 75


class XrdError(Exception):
    """Base of all errors that a user can mend; commands print it in one line and exit with 2."""


class InputError(XrdError, ValueError):
    """A value given by the user is wrong."""


class MissingFileError(XrdError, FileNotFoundError):
    """A file or folder that the user named is not there."""

    def __str__(self) -> str:
        """Give the message alone (OSError would print a tuple)."""
        return str(self.args[0])


class FormatError(InputError):
    """A file is not what its name or place promises: another format, another version, damaged."""


class SpoolError(InputError):
    """A spool cannot be used as asked: another configuration, not a spool, in use."""


class CorruptShardError(FormatError):
    """The bytes of a shard do not match its checksum or its header."""


class DiskFullError(XrdError, OSError):
    """No space or quota left (ENOSPC, EDQUOT); what was being written has been removed."""

    def __str__(self) -> str:
        """Give the message alone (OSError would print a tuple)."""
        return str(self.args[0])


class Interrupted(XrdError):  # noqa: N818 (a state, not a fault)
    """Work was stopped by a signal or a limit; it can be resumed (exit code 75)."""
