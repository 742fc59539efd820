from pathlib import Path

import pytest
from pydantic import BaseModel, Field, model_validator

from data.prepare.options import checked, next_command
from protocol.errors import SettingsError


class Sizes(BaseModel):
    width: int = Field(8, ge=1)
    height: int = 8

    @model_validator(mode="after")
    def _not_too_flat(self):
        if self.width > 4 * self.height:
            raise ValueError(f"width {self.width}: at most four times the height")
        return self


def test_options_in_range_are_taken():
    assert checked(Sizes, width=3) == Sizes(width=3)


def test_an_option_out_of_range_is_named_with_what_was_found():
    with pytest.raises(SettingsError, match=r"^--width: found 0; Input should be greater"):
        checked(Sizes, width=0)


def test_options_that_do_not_go_together_are_one_sentence():
    with pytest.raises(SettingsError, match=r"^--width 90: at most four times the height$"):
        checked(Sizes, width=90)


def test_the_next_command_reads_what_was_made():
    text = next_command(Path("/data/x"), "demo", "data.size=[4, 4]")
    assert text.endswith("--preset demo --set data.root=/data/x --set data.size=[4,4]")
    assert text.startswith("Wrote /data/x.")
