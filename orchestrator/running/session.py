"""What every run of trials goes through, whatever it runs them for.

Hold the folder, log, check with the family, cut the devices into slots, track.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
from rich.console import Console
from rich.text import Text

from orchestrator.database.patient import Patience
from orchestrator.launcher.base import Launcher
from orchestrator.launcher.gpus import Gpus
from orchestrator.launcher.open import leave_signals, open_study_launcher
from orchestrator.live.display import Display
from orchestrator.live.open import open_display
from orchestrator.running.interrupts import Interrupts
from orchestrator.running.room import comes_of_full_disk
from orchestrator.running.slots import Slot, cpu_cores, cut_slots, job_slots
from orchestrator.settings.checks import Checked, check_with_family
from orchestrator.settings.layers import Layers
from orchestrator.settings.schema import Settings
from orchestrator.steering.changing import LATER
from orchestrator.steering.requests import Request
from orchestrator.steering.steering import Steering
from orchestrator.study.holding.lock import StudyLock, refuse_holder_elsewhere
from orchestrator.study.identity import new_identity
from orchestrator.study.inputs import DataWatch, Input, caches_of, found_in, remember, take
from orchestrator.study.restart import sweep_discarded
from orchestrator.study.storage import check_reachable, identity_of, open_study
from orchestrator.study.study_file import StudyFile, read_study_file, write_study_file
from orchestrator.troubles import trouble_of
from protocol.doors import Call
from protocol.errors import SettingsError, UserError
from protocol.files import sweep_partials
from protocol.folders import StudyFolder

if TYPE_CHECKING:
    from orchestrator.tracking.tracker import Tracker

log = logging.getLogger(__name__)

DONE, NOT_DONE, INTERRUPTED = 0, 1, 130


class StoppedEarly(Exception):
    """^C came before the first trial began."""


class Session:
    """One run of trials: what it works with, from the lock on the study's folder to its slots.

    `begin` and then `keep_study` fill in what the settings decide; until then they are not there.
    """

    settings: Settings
    launcher: Launcher
    slots: list[Slot]
    gpus: Gpus
    surroundings: dict[str, str]
    inputs: dict[str, Input]
    known: StudyFile
    study: optuna.Study

    def __init__(
        self,
        folder: StudyFolder,
        name: str,
        display: Display,
        interrupts: Interrupts,
        stack: contextlib.ExitStack,
        steering: Steering,
    ) -> None:
        self.folder = folder
        self.name = name  # what displays and plans call the study
        self.display = display
        self.interrupts = interrupts
        self._stack = stack  # closes all of it
        self.steering = steering
        self.steering.refuse_stale()
        self._trackers: list[Tracker] = []
        self.check_hold: Callable[[], None] = lambda: None  # raises once another host has the study

    def begin(self, settings: Settings, layers: Layers, threads: int | None) -> Checked:
        """Start the launcher; everything that can be wrong is found here, before a study exists.

        Args:
            settings: of the study.
            layers: where they come from.
            threads: of one rank when the study began; None of a new one.

        Raises:
            UserError: settings, data or devices cannot be used.
            StoppedEarly: ^C came meanwhile.
        """
        self.settings = settings
        if settings.storage.url is not None:
            check_reachable(settings.storage.url)
        self.launcher = open_study_launcher(
            self.folder,
            settings.launcher,
            family=settings.family,
            stages=settings.parallel.depth,
            processes=settings.parallel.processes,
            say=self.display.notice,
        )
        self._stack.callback(self.launcher.close)
        self.display.notice("checking the settings and the data")
        checked = check_with_family(settings, layers, self.launcher, self.waiting)
        self.inputs, self._files = found_in(checked.inputs)
        self._watch = DataWatch(self.inputs, caches_of(settings.data, checked.free))
        self.slots = self._slots(settings, threads)
        script = settings.script
        around = {} if script is None else {"workdir": script.workdir}
        self.surroundings = self.launcher.call(Call.SURROUNDINGS, around, self.waiting)
        return checked

    def _slots(self, settings: Settings, threads: int | None) -> list[Slot]:
        self.gpus = Gpus([])
        if settings.launcher.kind == "slurm":
            return job_slots(settings, threads)
        gpus = []
        if settings.devices != "cpu" or settings.parallel.devices is not None:
            gpus = self.launcher.call(Call.DEVICES, {}, self.waiting)["cuda"]
        self.gpus = self._stack.enter_context(Gpus(gpus))
        if settings.yield_to_others and self.gpus.trouble:
            told = f"found true, but NVML does not tell who uses a GPU ({self.gpus.trouble})"
            raise SettingsError(told, key="yield_to_others")
        return cut_slots(settings, gpus, cpu_cores(), threads)

    def take_inputs(self, folder: StudyFolder, begun: Mapping[str, Input]) -> None:
        """Say what of a study's data has moved since it began.

        Raises:
            SettingsError: it is other data now.
        """
        for sentence in take(folder, begun, self.inputs, self._files):
            self.display.notice(sentence)

    def check_data(self) -> None:
        """To be called before an attempt.

        Raises:
            DataError: the data are not those any more that the study was begun with.
        """
        self._watch.check()

    def keep_study(self, known: StudyFile) -> optuna.Study:
        """Write study.yml, then open the database: a folder without the file is an empty one.

        The study's token is in the file before it is in the database; only that of a study which
        an earlier version began is looked up there first. So a kill between the two does no harm.

        Raises:
            UserError: the database cannot be used.
            StudyInUse: another process works on the study, as its database says.
        """
        earlier = read_study_file(self.folder)
        identity = earlier.identity if earlier else new_identity()
        # What cannot be seen at the moment stays known as it was.
        inputs = {**(earlier.inputs if earlier else {}), **self.inputs}
        self.known = known.model_copy(update={"identity": identity, "inputs": inputs})
        remember(self.folder, self._files)
        write_study_file(self.folder, self.known)
        self.study = open_study(
            self.folder,
            self.settings.storage.url,
            self.settings.objective.direction,
            identity=identity,
            patience=self.patience(self.settings),
        )
        if not identity:
            self.known = self.known.model_copy(update={"identity": identity_of(self.study)})
            write_study_file(self.folder, self.known)
        return self.study

    def steered(self) -> list[Request]:
        """What was taken up just now of requests about these trials."""
        done = self.steering.look()
        return done if self.steering.folder == self.folder else []

    def take_settings(self, settings: Settings) -> None:
        """Go by other settings from now on, as far as that is possible in the midst of a run."""
        kept = {section: getattr(self.settings, section) for section in LATER}
        self.settings = settings.model_copy(update=kept)

    def check(self, settings: Settings, layers: Layers) -> Checked:
        """Have the family look at settings in the midst of a run."""
        return check_with_family(settings, layers, self.launcher, lambda: None)

    def patience(self, settings: Settings) -> Patience:
        """With the database, told on the display and ended by ^C."""
        return Patience(
            seconds=settings.storage.patience,
            say=self.display.notice,
            interrupted=lambda: self.interrupts.count > 0,
        )

    def track(self) -> None:
        """Mirror the trials to where the settings ask, until the session closes."""
        if not (self.settings.tracking.used or self.settings.notify.used):
            return
        from orchestrator.tracking.trackers import start_trackers

        self._trackers = start_trackers(self.folder, self.settings.tracking, self.settings.notify)
        for tracker in self._trackers:
            self._stack.callback(tracker.close)
            if tracker.sentence:
                self.display.notice(tracker.sentence)

    def say_farewell(self, what: str, text: str) -> None:
        """What people are told of the search's end once the session closes; empty: nothing."""
        for tracker in self._trackers:
            tracker.last_word = json.dumps({"what": what, "text": text}) if what else ""

    def pause(self, seconds: float) -> bool:
        """Sleep; False, at once, where the user wants to stop."""
        self.steering.look()
        if self.interrupts.count == 0:
            select.select([self.interrupts.fileno()], [], [], seconds)
            self.interrupts.drain()
        return self.interrupts.count == 0

    def waiting(self) -> None:
        """To be called while something is waited for.

        Raises:
            StoppedEarly: ^C came.
        """
        self.steering.look()
        if self.interrupts.count > 0:
            raise StoppedEarly


@contextlib.contextmanager
def open_session(
    folder: StudyFolder,
    name: str,
    console: Console,
    url: str | None = None,
    steered: StudyFolder | None = None,
) -> Iterator[Session]:
    """Hold the study's folder, hear ^C, show progress on `console` and log, for one run of trials.

    Args:
        folder: the study's.
        name: what displays and plans call the study.
        console: where progress is shown.
        url: where the study's database is now, if that is not what the folder says.
        steered: the study to which people's requests go, if that is another one.

    Raises:
        StudyInUse: another process holds the folder.
    """
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(folder.stop, leave_signals()))
        lock = stack.enter_context(
            held(folder, url, lambda said: console.print(Text(said), soft_wrap=True))
        )
        folder.stop.unlink(missing_ok=True)  # it was meant for an earlier run
        stack.callback(folder.stop.unlink, missing_ok=True)
        sweep_partials(folder.path)
        display = open_display(console)
        stack.callback(display.close)
        stack.enter_context(logging_to(folder.log))
        steering = Steering(steered or folder, interrupts.stop)
        session = Session(folder, name, display, interrupts, stack, steering)
        session.check_hold = lock.check
        yield session


def refuse_confirmations(folder: StudyFolder) -> None:
    """Make sure that `folder` is not where the trials of another study are trained again.

    Raises:
        SettingsError: it is; names that study.
    """
    path = folder.path.absolute()
    confirmed = StudyFolder(path.parent)
    if confirmed.settings.exists() and confirmed.confirmations.path == path:
        raise SettingsError(
            f"{folder.path} holds trials of study {confirmed.name!r} that `confirm` trained again; "
            f"only `confirm --study_name {confirmed.name}` adds to them"
        )


@contextlib.contextmanager
def held(
    folder: StudyFolder, url: str | None = None, say: Callable[[str], None] = lambda _: None
) -> Iterator[StudyLock]:
    """Make the study's folder and hold its lock; a folder in which nothing was begun goes again.

    Args:
        folder: the study's.
        url: where its database is now, if that is not what the folder says.
        say: tells people a sentence.

    Raises:
        StudyInUse: another process holds the lock, or works on the study as its database says.
        SettingsError: that database cannot be asked.
    """
    new = not folder.path.exists()
    with StudyLock(folder.lock, say) as lock:
        refuse_holder_elsewhere(folder, url)
        sweep_discarded(folder)
        try:
            yield lock
        finally:
            # While the lock is held: whoever is refused must not take the holder's folder away.
            if new and not folder.settings.exists():
                gone = folder.path.with_name(f".{folder.name}.{os.getpid()}.gone")
                with contextlib.suppress(OSError):
                    folder.path.rename(gone)  # at once, so that another start makes its own
                    shutil.rmtree(gone)


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write what the orchestrator does, and the traceback of a defect, to `path`."""
    handler = _Log(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("orchestrator")
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    except (UserError, StoppedEarly):
        raise
    except Exception as error:
        if trouble_of(error) is None:
            log.exception("a defect ended this run")
        raise
    finally:
        root.removeHandler(handler)
        with contextlib.suppress(OSError):  # of lines for which there is no room
            handler.close()


class _Log(logging.FileHandler):
    """Keeps silent of a full disk: the study itself says so, and goes on when there is room."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exception()
        if error is None or not comes_of_full_disk(error):
            super().handleError(record)
