import numpy as np
import pytest

from models.panels import keep_panels
from models.pictures import Panel, Picture
from orchestrator.showing.png import values_of
from protocol.panels import load_panels


def kept(folder, *panels, window=(0.0, 1.0)):
    picture = Picture(name="x", title="Sample 3", panels=panels, window=window)
    return load_panels(keep_panels(folder / "panels", "validation_0003", picture, epoch=7))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1000.0, 3000.0), (1e-6, 2e-6)])
def test_values_are_kept_to_a_65534th_of_their_range(tmp_path, low, high):
    image = np.random.default_rng(0).uniform(low, high, (40, 30)).astype(np.float32)
    found = kept(tmp_path, Panel(title="a", image=image))
    panel = found.picture.panels[0]
    step = (image.max() - image.min()) / 65534
    np.testing.assert_allclose(values_of(panel, found.levels[0]), image, atol=0.51 * step)
    assert (panel.rows, panel.columns) == (40, 30)


def test_what_is_no_number_stays_so_and_a_constant_image_is_itself(tmp_path):
    image = np.full((2, 2), 5.0, np.float32)
    image[0, 1] = np.nan
    found = kept(tmp_path, Panel(title="a", image=image))
    np.testing.assert_array_equal(values_of(found.picture.panels[0], found.levels[0]), image)


def test_differences_are_not_kept_and_windows_roles_and_views_are(tmp_path):
    image = np.eye(3, dtype=np.float32)
    found = kept(
        tmp_path,
        Panel(title="t", image=image, role="target", view="axial"),
        Panel(title="own", image=image, window=(0.0, 0.5)),
        Panel(title="d", image=image, difference=True),
        window=(-1.0, 2.0),
    ).picture
    assert [panel.title for panel in found.panels] == ["t", "own"]
    assert (found.panels[0].role, found.panels[0].view) == ("target", "axial")
    assert [panel.window for panel in found.panels] == [(-1.0, 2.0), (0.0, 0.5)]
    assert (found.case, found.title, found.epoch) == ("validation_0003", "Sample 3", 7)
