"""Where a database is, as SQLAlchemy's URL: built of its parts, never put together as text.

So a folder may be called anything, and a password may hold any character. No password gets into a
sentence: what is shown is `shown`, and what a driver says goes through `redacted`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from orchestrator import words
from protocol.errors import SettingsError

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_PARTS = re.compile(  # driver, credentials, host, database, options
    r"([\w+.-]+://)([^/?]*@)?([^/?@]*)(/[^?]*)?(\?.*)?", re.DOTALL
)
_SECRET = re.compile(r"passw|pwd", re.IGNORECASE)  # in the name of an option
# Up to the last @ before the host: passwords hold that character, hosts do not.
_CREDENTIALS = re.compile(r"([\w+.-]+)://([^:/@]*):([^?]*)@([^@?]*(?:\?.*)?)", re.DOTALL)
_LIBPQ = ("psycopg", "psycopg2")  # drivers that take its options
_OPTIONS = {
    "connect_timeout": 10,  # seconds; without it as long as the system tries, which ^C cannot end
    "keepalives_idle": 30,  # a server that is gone is noticed within a minute
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
    "client_encoding": "utf8",  # else a database without an encoding answers with bytes
}
_HINTS = {  # what a user can do, by what the server or its library says (libpq of version 15)
    r"password authentication failed|no password supplied": (
        "passwords come from the environment: PGPASSWORD, or a variable that the URL names as "
        "${VARIABLE}"
    ),
    r"database .* does not exist": "create it once, as in createdb, or mend its name in the URL",
    r"role .* does not exist": "create that user once, as in createuser, or mend its name",
    r"permission denied for schema": (
        "whoever owns the database may allow it: GRANT USAGE, CREATE ON SCHEMA public TO that user"
    ),
    r"permission denied": "whoever owns the database may allow it, as GRANT says",
    r"failed to resolve host|could not translate host name": "mend the host's name in the URL",
    r"Connection refused|No such file or directory": (
        "look whether the server runs, and listens where the URL says"
    ),
}
_PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}  # that bring the drivers


def own_address(path: Path) -> URL:
    """Of the SQLite file at `path`."""
    return URL.create("sqlite", database=str(path.absolute()))


def address(template: str) -> URL:
    """What `storage.url` names, with the environment's variables filled in.

    A variable among the credentials may hold any character, as it is or percent-encoded.

    Raises:
        SettingsError: a variable is not set, or this is no database's URL.
    """
    parts = _PARTS.fullmatch(template)
    if parts is None:  # a variable may hold all of it
        filled = _VARIABLE.sub(_value, template)
    else:
        spellings = (_value, _quoted, _value, _quoted_path, _quoted)
        texts = zip(spellings, parts.groups(default=""), strict=True)
        filled = "".join(_VARIABLE.sub(spelling, text) for spelling, text in texts)
    try:
        return make_url(_with_quoted_credentials(filled))
    except (ArgumentError, ValueError):
        raise SettingsError(
            f"{template} cannot be opened: expected a URL such as "
            "postgresql://me:${DB_PASSWORD}@host/studies",
            key="storage.url",
        ) from None


def _value(match: re.Match[str]) -> str:
    try:
        return os.environ[match[1]]
    except KeyError:
        raise SettingsError(
            f"the environment variable {match[1]} is not set", key="storage.url"
        ) from None


def _quoted(match: re.Match[str]) -> str:
    return quote(unquote(_value(match)), safe="")


def _quoted_path(match: re.Match[str]) -> str:
    return quote(_value(match), safe="/")


def _with_quoted_credentials(filled: str) -> str:
    """The same URL when a variable held all of it, with whatever its password holds."""
    found = _CREDENTIALS.fullmatch(filled)
    if found is None:
        return filled
    driver, user, password, rest = found.groups()
    return f"{driver}://{user}:{quote(unquote(password), safe='')}@{rest}"


def spelled(url: URL) -> str:
    """In full, for who connects to it; password and all."""
    return url.render_as_string(hide_password=False)


def connect_arguments(url: URL) -> dict[str, Any]:
    """What a driver is told beside the URL, unless that says it."""
    if url.get_backend_name() != "postgresql" or url.get_driver_name() not in _LIBPQ:
        return {}
    return {key: value for key, value in _OPTIONS.items() if key not in url.query}


def shown(url: URL) -> str:
    """For people: a file's path, or the URL without its password."""
    file = sqlite_file(url)
    hidden = {key: "***" for key in url.query if _SECRET.search(key)}
    safe = url.update_query_dict(hidden)
    return str(file) if file is not None else safe.render_as_string(hide_password=True)


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database; None for any other."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def reason(error: BaseException, url: URL) -> str:
    """The first line of what a driver says, without the password."""
    missing = _missing_driver(error)
    if missing is not None:
        package = _PACKAGES.get(missing, missing)
        return (
            f"its driver, the Python package {missing}, is not installed; install it beside this "
            f"program (python -m pip install {package}), or name another one in the URL"
        )
    cause = error.__cause__ or error
    lines = str(getattr(cause, "orig", None) or cause).splitlines()
    said = redacted(lines[0] if lines else type(error).__name__, url)
    hints = [hint for signs, hint in _HINTS.items() if re.search(signs, said)]
    return "; ".join([said, *hints[:1]])


def _missing_driver(error: BaseException) -> str | None:
    for cause in (error, error.__cause__):
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            return cause.name
    return None


def redacted(text: str, url: URL) -> str:
    """`text` without the URL's passwords, in whatever spelling."""
    text = words.without_passwords(text)
    options = [str(value) for key, value in url.query.items() if _SECRET.search(key)]
    for password in filter(None, [str(url.password or ""), *options]):
        for secret in (password, quote(password, safe=""), quote(password, safe=" +")):
            text = text.replace(secret, "***")
    return text
