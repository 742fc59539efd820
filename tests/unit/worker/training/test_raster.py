import numpy as np
import pytest
from PIL import Image

from worker.training import raster
from worker.training.raster import lettering, write_png


@pytest.fixture
def noise():
    pixels = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
    return Image.fromarray(pixels)


def test_an_image_is_read_as_it_was_written(tmp_path, noise):
    write_png(noise, tmp_path / "noise.png")
    with Image.open(tmp_path / "noise.png") as found:
        found.verify()  # every checksum
    with Image.open(tmp_path / "noise.png") as found:
        assert (found.format, found.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(found), np.asarray(noise))


def test_one_that_cannot_be_written_leaves_the_old_one(tmp_path, noise, monkeypatch):
    path = tmp_path / "noise.png"
    write_png(noise, path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(raster.zlib, "compress", fail)
    with pytest.raises(OSError, match="disk full"):
        write_png(noise.rotate(180), path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["noise.png"]


@pytest.mark.parametrize("letter", "−→×ΩäöüЖ²")
def test_the_font_has_what_titles_and_the_names_of_cases_are_made_of(letter):
    def shape(character):
        mask = lettering(15).getmask(character)
        return mask.size, bytes(mask)

    assert shape(letter) != shape("\U000f0000")  # which no font has
