"""Where families of people's own, written for version 0.1, look for the errors."""

from protocol.errors import CheckpointError as CheckpointError
from protocol.errors import DataError as DataError
from protocol.errors import SettingsError as SettingsError
from protocol.errors import UserError as UserError
