"""A training script as people have them, which goes on from its own checkpoint."""

import json
import os
import sys
import time
from pathlib import Path

rate, epochs, folder = float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
first = int(os.environ["RANK"]) == 0
start = json.loads(Path(sys.argv[4]).read_text())["epoch"] if len(sys.argv) > 4 else 0
for epoch in range(start + 1, epochs + 1):
    time.sleep(0.2)
    if first:
        with (folder / "metrics.csv").open("a") as table:
            table.write(f"epoch,error\n{epoch},{1 / (epoch + rate)}\n")
        (folder / "half").write_text(json.dumps({"epoch": epoch}))
        (folder / "half").replace(folder / "last.ckpt")
