"""What the names of brain volumes say: whose they are, of which contrast, or that they are labels.

The words are those of BIDS and its derivatives (Gorgolewski et al., Sci. Data 3, 2016), BraTS 2021
and 2023, IXI, and MSLUB. A word that is not here says nothing, and is never taken for one that is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.brain.layout import Mode
from data.scans.files import stem_of
from data.splits import bids_subject

Kind = Literal["t1", "t2", "other", "mask", "lesions", "labels"]

_WORDS: dict[Kind, frozenset[str]] = {
    "t1": frozenset({"t1", "t1w", "t1n", "mprage"}),
    "t2": frozenset({"t2", "t2w"}),
    "other": frozenset(
        "t1c t1ce t1gd t1wks t1post t1km t2f flair t2flair pd pdw pdt2 mra angio dti dwi adc fa md"  # noqa: SIM905
        " bold sbref epi asl m0scan swi t2star t2starw inplanet1 inplanet2 unit1 t1map t2map r1map"
        " r2map megre mese vfa mp2rage irt1 phase magnitude phasediff fieldmap ct pet spect".split()
    ),
    "mask": frozenset({"mask", "brainmask"}),
    "lesions": frozenset({"seg", "lesion", "lesions", "gt", "roi"}),
    "labels": frozenset(
        {"defacemask", "dseg", "probseg", "aseg", "aparc", "parc", "label", "labels"}
    ),
}
_KIND = {word: kind for kind, words in _WORDS.items() for word in words}
# Behind a contrast these tell how the volume was treated.
_TREATED = frozenset(
    "brain head defaced deface stripped ss skullstripped bet hdbet preproc reg registered mni norm"  # noqa: SIM905
    " normalized n4 n4corrected biascorrected resampled iso 1mm orig raw".split()
)
_OF_LESIONS = frozenset(["lesion", "lesions", "tumor", "tumour", "wmh"])
_OF_LABELS = _OF_LESIONS | _TREATED | frozenset(["consensus", "manual", "final"])
_OF_FILES = re.compile(r"_(desc|space|res|den|hemi|label)-[A-Za-z0-9]+")  # BIDS: not whom
_LABEL = re.compile(r"_label-([A-Za-z0-9]+)")
_BRATS = re.compile(r"brats[-_0-9]", re.IGNORECASE)
_LAST = re.compile(r"(?:^|[-_. ])([A-Za-z0-9]+)$")


@dataclass(frozen=True, kw_only=True)
class Name:
    """What a file's name says."""

    subject: str  # whose it is: what else there is in the name, or the folder's
    kind: Kind | None  # None: nothing
    contrast: Mode | None = None  # also of labels, where they say on which volume they were drawn
    unknown: str = ""  # words behind the contrast that say nothing here
    words: str = ""  # all of an image's; of labels those of the image, if they repeat all of them

    @property
    def person(self) -> str:
        """Who it is: of BIDS the subject, whatever the session and run."""
        return bids_subject(self.subject) or self.subject

    @property
    def of_patients(self) -> bool:
        """Whether it is of a collection of which everybody is ill."""
        return _BRATS.match(self.subject) is not None


def read_name(path: Path) -> Name:
    """What a volume's name says; its folder counts where the name says not whose it is."""
    stem = stem_of(path.name)
    words = _OF_FILES.sub("", stem)
    rest, word = _last(words)
    kind = _KIND.get(word)
    if kind not in ("mask", "lesions", "labels"):
        return _of_image(path, words)
    of_image, qualified = rest, []
    while _last(rest)[1] in _OF_LABELS:
        rest, qualifier = _last(rest)
        qualified.append(qualifier)
    if label := _LABEL.search(stem):
        kind = "lesions" if "les" in label[1].lower() else "labels"
    elif not _OF_LESIONS.isdisjoint(qualified) and kind == "mask":
        kind = "lesions"
    drawn_on = _of_image(path, rest)
    return Name(
        subject=drawn_on.subject, kind=kind, contrast=drawn_on.contrast, words=of_image.lower()
    )


def _of_image(path: Path, words: str) -> Name:
    """Of a name that is no label's."""
    rest, behind = words, list[str]()
    while rest:
        shorter, word = _last(rest)
        if word in _KIND:
            break
        rest = shorter
        behind.append(word)
    else:
        return Name(subject=words or path.parent.name, kind=None, words=words.lower())
    kind, before = _KIND[word], _last(rest)[0]
    foreign = [each for each in reversed(behind) if each not in _TREATED and not each.isdecimal()]
    # A name that begins with the contrast has the subject behind it.
    numbered = any(each.isdecimal() for each in behind)
    subject = words if (behind and not before) or numbered else before
    return Name(
        subject=subject or path.parent.name,
        kind=kind,
        contrast=kind if kind in ("t1", "t2") else None,
        unknown="_".join(foreign) if before else "",
        words=words.lower(),
    )


def _last(words: str) -> tuple[str, str]:
    """A name without its last word, and that in small letters."""
    found = _LAST.search(words)
    return (words, "") if found is None else (words[: found.start()], found[1].lower())
