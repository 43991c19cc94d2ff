"""Stand-ins for the real data sets: drawn on first use, in the genuine layout, always the same.

Each data set's module has `draw(label, rng)`, which returns one picture as uint8, and
`write(folder, seed)`, which fills an existing empty folder with what one would download. All that
is random comes from `rng`, so the same seed gives the same bytes.
"""

from importlib import import_module
from pathlib import Path

from helpers.catalog import DataSet, data_folder
from helpers.files import whole_folder
from helpers.unpack import unpack


def sample_folder(facts: DataSet) -> Path:
    """Return the folder of a data set's sample; draw it first if it is not there.

    Parameters
    ----------
    facts : DataSet
        An entry of the catalog.

    Returns
    -------
    Path
        A folder with the layout of the real data set.
    """
    folder = data_folder(facts.name) / f"sample-{facts.sample_version}"
    if not folder.is_dir():
        with whole_folder(folder) as partial:
            import_module(f"helpers.samples.{facts.name}").write(partial)
            if facts.archive:  # drawn as the archive that the real one is, so unpacked like it
                unpack(partial / facts.archive.file, partial, facts.archive.unpacked)
    return folder
