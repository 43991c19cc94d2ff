"""What a lesson prints as a finding comes out False on data where it is false."""

import contextlib
import io
import json
import random
import re

from conftest import REPOSITORY

from helpers import plots
from helpers.catalog import FOOD, data_folder
from helpers.samples import sample_folder


def said(step, **settings):
    """Run the code cells of a notebook with other settings, NAME = value; return what it says."""
    (file,) = (REPOSITORY / "notebooks").glob(f"{step:02}_*.ipynb")
    cells = json.loads(file.read_bytes())["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    for name, value in settings.items():
        source, changed = re.subn(rf"^{name} = .*", f"{name} = {value}", source, flags=re.M)
        assert changed == 1, name
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(source, file.name, "exec"), {"__name__": file.stem})
    return dict(re.findall(r"^(.*): (True|False)$", output.getvalue(), flags=re.M))


def test_without_anything_to_learn_step_12_finds_nothing(home, monkeypatch):
    """The pictures are dealt out to the classes by chance."""
    chance, sample = random.Random(0), sample_folder(FOOD)
    for part, most in (("train", 90), ("test", 60)):
        files = sorted((sample / part).rglob("*.jpg"))
        for number, file in enumerate(chance.sample(files, most)):
            target = data_folder("food") / "real" / part / FOOD.classes[number % 3]
            target.mkdir(parents=True, exist_ok=True)
            file.rename(target / file.name)
    titles = []
    monkeypatch.setattr(plots, "_show", lambda *_, **__: titles.append(plots.plt.gcf()))
    found = said(12, EPOCHS=2)
    named = [found[name] for name in found if name.startswith(("features", "TinyVGG"))]
    assert named == ["False"] * 3, found
    assert found["the validation loss turned"] == "False"
    shown = " ".join(plots.describe(figure) for figure in titles)
    assert len(re.findall(r"features are (\d|1\d) points (ahead|behind)", shown)) == 2
    plots.plt.close("all")
