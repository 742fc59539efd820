import pytest

from protocol.errors import DataError
from protocol.panels import KeptPanel, KeptPicture, Panels, load_panels, save_panels


def panels():
    kept = [
        KeptPanel(title=title, rows=2, columns=3, low=-1.0, high=1.0, window=(0.0, 1.0))
        for title in ("a", "b")
    ]
    picture = KeptPicture(case="validation_0001", title="Sample 1", epoch=2, panels=kept)
    return Panels(picture, [bytes(range(12)), bytes(range(12, 24))])


def test_panels_come_back_as_they_were_kept(tmp_path):
    save_panels(tmp_path / "x.panels", panels())
    assert load_panels(tmp_path / "x.panels") == panels()


@pytest.mark.parametrize("spoil", [lambda b: b[:-3], lambda b: b"{}\n" + b, lambda b: b[:40]])
def test_a_damaged_file_is_told(tmp_path, spoil):
    path = tmp_path / "x.panels"
    save_panels(path, panels())
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match="is damaged"):
        load_panels(path)


def test_panels_that_are_not_all_there_are_told(tmp_path):
    whole = panels()
    save_panels(tmp_path / "x.panels", Panels(whole.picture, whole.levels[:1]))
    with pytest.raises(DataError, match="holds 12 bytes, expected 24"):
        load_panels(tmp_path / "x.panels")
