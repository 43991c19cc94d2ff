"""Pictures of one's own: every way in, the split that stays, and the notebooks that run on them."""

import json
import re
import shutil
import zipfile

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import quick
from PIL import Image

from helpers import batches
from helpers.catalog import data_folder
from helpers.checks.reference import code_cells
from helpers.data import open_data, pictures
from helpers.images import names_below
from helpers.survey import survey
from workshop.__main__ import main
from workshop.room import notebook_files

CLASSES = ("red", "green", "blue")


def photo(file, colour=0, size=(90, 70), seed=0, grey=False):
    """Write noise in which one colour, or for grey one third of the rows, is stronger."""
    pixels = np.random.default_rng(seed).integers(0, 90, (size[1], size[0], 3)).astype("uint8")
    pixels[:, :, colour] += 120
    if grey:
        pixels = pixels[:, :, (colour + 1) % 3]
        third = size[1] // 3
        pixels[third * colour : third * (colour + 1)] += 120
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def folders(home):
    """data/mine with a folder for each of three classes, ten pictures each."""
    for label, name in enumerate(CLASSES):
        for number in range(10):
            photo(data_folder("mine") / name / f"{number}.jpg", label, seed=30 * label + number)
    return data_folder("mine")


@pytest.fixture
def table(home):
    """data/mine with labels.csv and 30 grey pictures in a folder, three classes."""
    rows = ["ID,Label"]
    for number in range(30):
        photo(data_folder("mine") / "films" / f"{number}.png", number % 3, seed=number, grey=True)
        rows.append(f"{number}.png,{CLASSES[number % 3]}")
    (data_folder("mine") / "labels.csv").write_text("\n".join(rows) + "\n")
    return data_folder("mine")


def test_class_folders_are_a_data_set(folders, capsys):
    data = open_data("mine")
    assert data.facts.classes == ("blue", "green", "red") and data.source == "own"
    assert data.facts.pictures == {"train": 18, "valid": 6, "test": 6}
    assert "3 classes (18 train, 6 valid, 6 test)" in capsys.readouterr().out
    train = pictures(data, "train")
    assert train.labels.bincount().tolist() == [6, 6, 6] and train.images.shape[1:] == (3, 64, 64)
    brightest = train.images.float().mean(dim=(2, 3)).argmax(dim=1)  # a picture's own colour
    assert (brightest == 2 - train.labels).all()
    about = json.loads((folders / "facts.json").read_text())
    assert about["channels"] == 3 and all(0.2 < mean < 0.5 for mean in about["mean"])


def test_a_table_is_a_data_set_and_grey_stays_grey(table):
    data = open_data("mine")
    assert data.facts.channels == 1 and data.facts.classes == tuple(sorted(CLASSES))
    assert sum(data.facts.pictures.values()) == 30 and len(data.facts.mean) == 1
    assert pictures(data, "valid").labels.bincount().tolist() == [2, 2, 2]


def test_numbers_as_labels_keep_their_order_and_a_test_set_needs_none(table):
    text = (table / "labels.csv").read_text()
    for label, name in enumerate(CLASSES):
        text = text.replace(name, str(label + 9))
    (table / "labels.csv").rename(table / "train.csv").write_text(text)
    (table / "test.csv").write_text("ID\n0.png\n1.png\n")
    data = open_data("mine")
    assert data.facts.classes == ("09", "10", "11") and data.facts.unlabelled == ("test",)
    assert pictures(data, "test").labels.tolist() == [-1, -1]


def test_a_linked_folder_is_a_class_and_may_be_called_train(folders, tmp_path):
    (folders / "red").rename(tmp_path / "elsewhere")
    (folders / "train").symlink_to(tmp_path / "elsewhere")
    assert open_data("mine").facts.classes == ("blue", "green", "train")


def test_the_split_stays(folders):
    def split():
        return {*names_below(open_data("mine").root)}

    first = split()
    assert split() == first
    (folders / "red" / "3.jpg").unlink()
    for number in range(20, 25):
        photo(folders / "red" / f"{number}.jpg", seed=number)
    second = split()
    assert [name[-9:] for name in first - second] == ["red/3.jpg"] and len(second - first) == 5
    assert {name.partition("/")[0] for name in second - first} == {"train", "valid", "test"}
    (folders / "red" / "0.jpg").unlink()
    photo(folders / "red" / "0.jpg", size=(50, 40))  # drawn anew: the link must follow
    assert split() == second
    assert [Image.open(one).size for one in folders.glob("__parts/*/red/0.jpg")] == [(50, 40)]
    shutil.rmtree(folders / "red")
    (folders / "facts.json").unlink()
    split()  # a class less
    assert not [*folders.glob("__parts/*/red/*")] and len(open_data("mine").facts.classes) == 2


@pytest.mark.parametrize("given", [("train", "valid"), ("train", "test"), ("Train", "val", "test")])
def test_parts_that_are_given_are_kept(folders, given):
    for number, part in enumerate(given):
        for name in CLASSES:
            (folders / part / name).mkdir(parents=True)
            for file in sorted((folders / name).glob("*"))[: 6 if number == 0 else 2]:
                file.rename(folders / part / name / file.name)
    for name in CLASSES:
        shutil.rmtree(folders / name)
    counts = open_data("mine").facts.pictures
    assert sum(counts.values()) == 18 + 6 * (len(given) - 1)
    assert counts["valid"] == (6 if given[1] != "test" else 3), counts
    assert counts["test"] == (6 if "test" in given else 3), counts


def test_what_is_hidden_or_no_picture_does_not_count(folders):
    photo(folders / "red" / ".ipynb_checkpoints" / "a.jpg")
    photo(folders / "@eaDir" / "a.jpg")
    (folders / "red" / "IMG_1.HEIC").write_bytes(b"heic")
    (folders / "red" / "bad.jpg").write_bytes(b"no picture")
    assert sum(open_data("mine").facts.pictures.values()) == 30
    left_out = [line for line in survey("mine") if line.startswith("left out")]
    assert len(left_out) == 2 and "let the telephone make JPEG" in "".join(left_out)


def test_the_report_says_what_is_odd(folders, capsys):
    shutil.copy(folders / "red" / "0.jpg", folders / "green" / "copy.jpg")
    Image.new("RGB", (200, 100)).save(folders / "blue" / "black.png")
    for number in range(1, 4):
        (folders / "green" / f"{number}.jpg").unlink()
    assert main(["data", "mine"]) == 0
    said = capsys.readouterr().out
    assert "the same picture twice" in said and "red/0.jpg" in said and "green/copy.jpg" in said
    assert "black.png is nearly of one colour" in said
    assert "Fewer than 10: take more" in said.partition("green: ")[2].partition("\n")[0]
    assert "width 90 to 200, height 70 to 100 pixels" in said


def test_the_command_brings_a_folder_or_a_zip(folders, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "phone.zip", "w") as bundle:
        for file in folders.rglob("*.jpg"):
            bundle.write(file, f"export/{file.relative_to(folders)}")
    assert main(["data", "other", "--from", str(folders)]) == 0
    assert main(["data", "zipped", "--from", str(tmp_path / "phone.zip")]) == 0
    assert capsys.readouterr().out.count("18 train, 6 valid, 6 test") == 2
    assert main(["data", "other", "--from", str(folders)]) == 1  # never over what is there
    assert "is there already" in capsys.readouterr().err
    assert main(["data", "../mine", "--from", str(folders)]) == 1
    assert main(["data", "nowhere"]) == 1
    with pytest.raises(ValueError, match="cannot be the name of a folder"):
        open_data("../data/mine")


def test_a_picture_that_the_table_lists_and_nobody_has_is_left_out_with_a_word(table):
    (table / "films" / "0.png").unlink()
    (table / "films" / "1.png").rename(table / "films" / "1.heic")
    text = (table / "labels.csv").read_text()
    (table / "labels.csv").write_text(text.replace("\n1.png", "\n1.heic"))
    assert sum(open_data("mine").facts.pictures.values()) == 28
    left_out = [line for line in survey("mine") if line.startswith("left out")]
    assert "0.png: in the table, but not there" in left_out[0] and "HEIC" in left_out[1]


def test_of_two_folders_for_one_part_no_picture_is_dropped_without_a_word(folders):
    for part in ("train", "val", "valid"):
        for label in ("red", "green"):
            shutil.copytree(folders / label, folders / part / label)
    assert sum(open_data("mine").facts.pictures.values()) == 2 * 2 * 10
    left_out = [line for line in survey("mine") if "picture of this part and class" in line]
    assert len(left_out) == 2 * 10


def test_a_validation_part_without_classes_is_none(folders):
    for label in CLASSES:
        shutil.copytree(folders / label, folders / "train" / label)
    shutil.copytree(folders / "red", folders / "valid")
    assert open_data("mine").facts.pictures == {"train": 18, "valid": 6, "test": 6}


def test_what_lies_beside_the_parts_is_left_out_with_a_word(folders):
    for name in CLASSES:
        shutil.move(folders / name, folders / "train" / name)
    photo(folders / "extra" / "1.jpg")
    assert sum(open_data("mine").facts.pictures.values()) == 30
    assert any("extra: beside train/" in line for line in survey("mine"))


BROKEN = {  # own data, broken in one way: what is said
    "one folder for each class": shutil.rmtree,
    "no two classes": lambda folder: [shutil.rmtree(folder / name) for name in ("red", "blue")],
    "0.png is in the table, but not there": lambda folder: (folder / "labels.csv").write_text(
        "ID,Label\n0.png,a\n1.png,b\n"
    ),
    "delete it": lambda folder: [
        open_data("mine"),
        (folder / "facts.json").write_text('{"classes": '),
    ],
    "violet": lambda folder: [
        open_data("mine"),
        *(photo(folder / "violet" / f"{number}.jpg") for number in range(3)),
    ],
    "cannot be the name of a class": lambda folder: (folder / "labels.csv").write_text(
        "ID,Label\nred/1.jpg,../x\ngreen/1.jpg,b\n"
    ),
}


def test_a_class_with_too_few_pictures_is_named_and_said_to_need_more(folders):
    for name in ("blue", "red"):
        for file in list((folders / name).iterdir())[1:]:
            file.unlink()
    data = open_data("mine")
    assert data.facts.unlabelled == () and "blue: 1 train, 0 valid, 0 test. Fewer" in [
        line.partition(" than")[0] for line in survey("mine")
    ]
    with pytest.raises(FileNotFoundError, match=r"pictures in \['green'\]; expected some in .*red"):
        pictures(data, "valid")


@pytest.mark.parametrize("said", BROKEN)
def test_what_cannot_be_right_is_an_error(folders, said):
    BROKEN[said](folders)
    with pytest.raises((OSError, ValueError), match=said):
        open_data("mine")


STEPS = ("04", "05", "06", "07", "08", "09", "10", "12", "14")


@pytest.mark.parametrize("kind", ["folders", "table"])
def test_the_notebooks_run_on_them(kind, request, home, monkeypatch):
    facts = request.getfixturevalue(kind) / "facts.json"
    open_data("mine")
    facts.write_text(re.sub('"size": [0-9]+', '"size": 32', facts.read_text()))  # quicker
    monkeypatch.setattr(batches, "worker_count", lambda: 0)  # they would be forked from here
    for step in STEPS:
        space = {"__name__": "__main__"}
        for number, source in enumerate(code_cells(*notebook_files(step))):
            source = re.sub(r'open_data\("\w+"\)', 'open_data("mine")', quick(source))
            exec(compile(source, f"{step}, code cell {number}", "exec"), space)
        plt.close("all")
    runs = {file.parent.name for file in home.glob("runs/*/*/metrics.json")}
    assert {"lenet", "lenet_plain", "tinyvgg"} <= runs and len(runs) == 4
    assert {folder.name for folder in home.glob("runs/*")} == {"mine"}
    for file in home.glob("runs/*/*/metrics.json"):
        assert json.loads(file.read_text())["source"] == "own"
    lines = (home / "runs" / "mine" / "lenet" / "submission.csv").read_text().splitlines()
    assert lines[0] == "ID,Label" and len(lines) == 7
