"""The solar cells of step 17: of the package elpv-dataset where it is here, else drawn ones."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from helpers.catalog import MB, SHIPPED, data_folder, replace
from helpers.samples import unpack


def solar_cells() -> tuple[Path, str]:
    """Return the folder of the cells, a CSV data set like your own, and "real" or "sample".

    Its labels.csv has ID, Label (1 for a defect), probability (0, 1/3, 2/3, 1) and kind (mono or
    poly); the rows stand in the order of the modules.
    """
    package, wanted = find_spec("elpv_dataset"), os.environ.get("WORKSHOP_DATA")
    if wanted == "real" and not package:
        raise FileNotFoundError('The real cells are a package: python -m pip install -e ".[solar]"')
    source = "real" if package and wanted != "sample" else "sample"
    folder = data_folder("solar_cells" if source == "real" else "drawn_cells")

    def bring(part: Path) -> None:
        if source == "real":
            shutil.copytree(Path(package.origin).parent / "data", part)
        else:
            unpack(SHIPPED / "solar_cells.zip", part, 10 * MB)
        columns = ["ID", "probability", "kind"]  # in the file they have no names
        table = pd.read_csv(part / "labels.csv", sep=r"\s+", names=columns)
        table["Label"] = (table["probability"] >= 0.5).astype(int)  # as in the paper
        table.to_csv(part / "labels.csv", index=False)

    if not folder.is_dir():
        replace(folder, bring)
    print(f"Solar cells: {'the real data set' if source == 'real' else 'a drawn sample'}")
    return folder, source
