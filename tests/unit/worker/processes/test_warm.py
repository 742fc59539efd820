import subprocess
import sys

PROGRAM = """
import threading
import worker.processes.warm
from worker.training.pictures import _diverging
from worker.training.raster import lettering
print(lettering.cache_info().currsize, _diverging.cache_info().currsize, threading.active_count())
"""


def test_what_is_forked_has_letters_and_colours_and_the_server_no_thread():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    letters, colours, threads = map(int, done.stdout.split())
    assert letters >= 4
    assert (colours, threads) == (1, 1)
