"""Imported by the interpreter itself at its start, in every process of a disturbed study."""

from tests.faults.points import install

install()
