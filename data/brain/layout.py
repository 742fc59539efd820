"""The brain-MRI layout on disk: what its files are called, and which folds and sets it has.

    Data/Train/ixi/{t1,t2,mask}/         healthy volumes
    Data/Test/<set>/{t1,t2,mask,seg}/    volumes with lesions, such as Brats21 and MSLUB
    Data/splits/                         IXI_{train,val}_fold{0…}.csv, IXI_test.csv,
                                         <set>_{val,test}.csv, avail_t2.csv

A csv file has a row a subject, and at least the columns img_name, img_path, mask_path and, for
lesions, seg_path. Paths begin below Data/ and name either contrast; the other one's file differs
by `t1` or `t2` in its folder and its name alone. avail_t2.csv lists in its column `0` the
subjects that have a T2 volume. Sets made here also say in `made_from.json` what of.

Source: Behrendt et al., "Guided reconstruction with conditioned diffusion models for unsupervised
anomaly detection in brain MRIs", Comput. Biol. Med. 186 (2025), and the data set published with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from data.splits import Split
from protocol.errors import DataError

Mode = Literal["t1", "t2"]

HEALTHY_SET = "IXI"
HEALTHY_FOLDER = "Train/ixi"
COLUMNS = ("img_name", "age", "label", "img_path", "mask_path", "seg_path")
AVAILABLE_T2 = "avail_t2.csv"
PROVENANCE = "made_from.json"

_SUFFIX = re.compile(r"(_(t1|t2|mask|seg))?\.nii(\.gz)?$", re.IGNORECASE)


def subject_of(name: str) -> str:
    """`IXI002-Guys-0828_t2.nii.gz` → `IXI002-Guys-0828`."""
    return _SUFFIX.sub("", name.strip())


def healthy_csv(split: Split, fold: int) -> str:
    """The name of the csv file of a healthy split."""
    return {
        "train": f"{HEALTHY_SET}_train_fold{fold}.csv",
        "validation": f"{HEALTHY_SET}_val_fold{fold}.csv",
        "test": f"{HEALTHY_SET}_test.csv",
    }[split]


def lesion_csv(dataset: str, split: Split) -> str:
    """The name of the csv file of a split of a set with lesions."""
    return f"{dataset}_{'val' if split == 'validation' else 'test'}.csv"


def data_folder(root: Path) -> Path:
    """`root`/Data, once it is sure to be one.

    Raises:
        DataError: it is not there.
    """
    folder = root / "Data"
    if not (folder / "splits").is_dir():
        raise DataError(
            f"{root} has no folder Data/splits, expected the brain-MRI layout with "
            "Data/Train, Data/Test and Data/splits in it; name the folder that holds Data, or "
            f"make a data set with `./run_study.sh prepare brain --source SCANS --out {root}`",
            key="data.root",
        )
    return folder


def count_folds(root: Path) -> int:
    """How many folds, from 0 on without a gap, have a training and a validation list.

    Raises:
        DataError: `root` is not of this layout.
    """
    splits = data_folder(root) / "splits"
    fold = 0
    while all((splits / healthy_csv(split, fold)).is_file() for split in ("train", "validation")):
        fold += 1
    return fold


def lesion_sets(root: Path, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The sets of volumes with lesions to use: the wanted ones, or all there are.

    Raises:
        DataError: a wanted one is not there, or `root` is not of this layout.
    """
    splits = data_folder(root) / "splits"
    found = sorted(
        path.name.removesuffix("_test.csv")
        for path in splits.glob("*_test.csv")
        if path.name != healthy_csv("test", 0)
    )
    for name in wanted or ():
        if name not in found:
            raise DataError(
                f"{splits} has no {lesion_csv(name, 'test')}, expected a set among "
                f"{', '.join(found) or 'none at all'}; correct the name or leave the key out",
                key="data.lesions",
            )
    return tuple(found if wanted is None else wanted)
