"""A drawing before the first fork, so that no worker has to load letters and colours by itself.

Imported by the fork server, after all else that attempts need.
"""

from __future__ import annotations

import numpy as np

from models.pictures import Panel, Picture
from worker.training.chart import Curve, Plot, draw_chart
from worker.training.pictures import drawn

_PANEL = Panel(title="Difference", image=np.ones((2, 2), np.float32), difference=True)
drawn(Picture(name="", title="Sample", panels=[_PANEL], window=(0.0, 1.0)))
draw_chart([1, 2], [Plot(title="loss", curves=[Curve(label="", colour="black", values=[1, 2])])])
