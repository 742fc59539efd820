"""The error tree.

    UserError                  the user can mend it: one sentence, no traceback, exit code 2
    ├── SettingsError          a settings file or an option
    ├── DataError              a data set's files
    └── CheckpointError        a checkpoint that cannot be read or trusted
    StudyInUse                 another orchestrator holds the study, exit code 3

Everything else that is raised is a defect of this program and keeps its traceback.
"""


class UserError(Exception):
    """Something the user can mend; the message says what was found, expected, and what to do."""


class SettingsError(UserError):
    """A key, value or option is wrong; the message names the file and the key's path."""


class DataError(UserError):
    """A data file is missing, truncated or foreign; the message names it."""


class CheckpointError(UserError):
    """A checkpoint is missing or damaged; the message names it."""


class StudyInUse(Exception):
    """Another orchestrator holds the study's lock; the message names its process and host."""
