import pickle
import pickletools
import re
import tarfile
import zipfile
from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest

from helpers.catalog import CIFAR10, FOOD, PETS
from helpers.cifar import read_batch
from helpers.samples import cifar10, drawing, food, pets
from helpers.unpack import unpack

MODULES = {FOOD: food, PETS: pets, CIFAR10: cifar10}
EACH = pytest.mark.parametrize("facts", MODULES, ids=lambda facts: facts.name)
FEW = {
    food: {"train": (4, 3, 5), "test": (2, 1, 2)},
    pets: {"train": 9, "valid": 5, "test1": 2},
    cifar10: {"train": 20, "test": 30},
}


@pytest.fixture(scope="module", autouse=True)
def few():
    """Draw few pictures, so that a test takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        for module, counts in FEW.items():
            patch.setattr(module, "COUNTS", counts)
        yield


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folders with each data set as it is drawn, and unpacked beside the archive."""
    folders = {}
    for facts, module in MODULES.items():
        folders[facts] = tmp_path_factory.mktemp(f"{facts.name} ä")
        module.write(folders[facts])
        unpack(folders[facts] / facts.archive.file, folders[facts], facts.archive.unpacked)
    return folders


def archive_bytes(module, facts, folder, seed):
    folder.mkdir()
    module.write(folder, seed=seed)
    assert [path.name for path in folder.iterdir()] == [facts.archive.file]
    return (folder / facts.archive.file).read_bytes()


@EACH
def test_the_same_seed_draws_the_same_bytes(facts, drawn, tmp_path):
    module = MODULES[facts]
    again = archive_bytes(module, facts, tmp_path / "again", seed=0)
    other = archive_bytes(module, facts, tmp_path / "other", seed=1)
    assert (drawn[facts] / facts.archive.file).read_bytes() == again != other


@EACH
def test_the_archive_does_not_tell_when_or_by_whom_it_was_made(facts, drawn):
    archive = drawn[facts] / facts.archive.file
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as bundle:
            stamps = {(entry.date_time, entry.create_system) for entry in bundle.infolist()}
        assert stamps == {((2024, 1, 1, 0, 0, 0), 3)}
        return
    assert archive.read_bytes()[4:8] == bytes(4)  # the time in the gzip header
    with tarfile.open(archive) as bundle:
        owners = {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in bundle}
    assert owners == {(0, 0, 0, "")}


@EACH
def test_everything_the_data_set_needs_is_there(facts, drawn):
    assert [need for need in facts.needs if not (drawn[facts] / need).exists()] == []


def counts_by_folder(folder):
    """Return how many pictures each folder holds that holds any."""
    return Counter(path.parent.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))


def test_food_has_the_genuine_folders_and_file_names(drawn):
    assert counts_by_folder(drawn[FOOD]) == {
        f"{split}/{name}": count
        for split, counts in FEW[food].items()
        for name, count in zip(FOOD.classes, counts, strict=True)
    }
    names = [path.name for path in drawn[FOOD].rglob("*.jpg")]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\d{5,7}\.jpg", name) for name in names)


def test_pets_has_the_genuine_folders_and_file_names(drawn):
    folder = drawn[PETS] / "dogscats"
    both = {"train": 9, "valid": 5, "sample/train": 8, "sample/valid": 4}
    expected = {f"{part}/{name}": n for part, n in both.items() for name in PETS.classes}
    assert counts_by_folder(folder) == expected | {"test1": 4}
    for path in folder.rglob("*.jpg"):
        kind = {"cats": r"cat\.", "dogs": r"dog\."}.get(path.parent.name, "")
        assert re.fullmatch(kind + r"\d+\.jpg", path.name), path


def test_the_small_sample_of_pets_is_copies_and_no_picture_is_in_two_parts(drawn):
    folder = drawn[PETS] / "dogscats"
    for part in ("train", "valid"):
        for path in (folder / "sample" / part).rglob("*.jpg"):
            original = folder / part / path.parent.name / path.name
            assert path.read_bytes() == original.read_bytes()
    parts = [path for path in folder.rglob("*.jpg") if "sample" not in path.parts]
    assert len({path.read_bytes() for path in parts}) == len(parts)


@pytest.mark.parametrize(("facts", "low", "high"), [(FOOD, 140, 260), (PETS, 90, 260)])
def test_the_jpegs_decode_and_differ_in_size(facts, low, high, drawn):
    sizes = set()
    for path in drawn[facts].rglob("*.jpg"):
        content = path.read_bytes()
        assert content.startswith(b"\xff\xd8\xff")
        assert content.endswith(b"\xff\xd9")
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert low <= min(picture.shape[:2]) <= high
        assert picture.std() > 5
        sizes.add(picture.shape)
    assert len(sizes) >= 8
    assert len({width > height for height, width, _ in sizes}) == 2  # wide ones, and others


def batches(drawn):
    return [drawn[CIFAR10] / "cifar-10-batches-py" / name for name in cifar10.BATCHES]


def test_the_batches_of_cifar10_hold_what_the_official_ones_hold(drawn):
    for path, says in zip(batches(drawn), cifar10.BATCHES.values(), strict=True):
        batch = pickle.loads(path.read_bytes(), encoding="bytes")
        assert list(batch) == [b"batch_label", b"labels", b"data", b"filenames"]
        assert batch[b"batch_label"] == says.encode()
        rows = 30 if path.name == "test_batch" else 20
        assert batch[b"data"].shape == (rows, 3072)
        assert batch[b"data"].dtype == np.uint8
        for label, name in zip(batch[b"labels"], batch[b"filenames"], strict=True):
            assert type(label) is int
            assert name.startswith(CIFAR10.classes[label].encode() + b"_s_")
    meta = pickle.loads(batches(drawn)[0].with_name("batches.meta").read_bytes(), encoding="bytes")
    names = [name.encode() for name in CIFAR10.classes]
    assert meta == {b"num_cases_per_batch": 20, b"label_names": names, b"num_vis": 3072}


def test_the_batches_can_be_read_as_text_too(drawn):
    """With encoding="latin1", as torchvision reads the official ones."""
    path = batches(drawn)[0]
    text = pickle.loads(path.read_bytes(), encoding="latin1")
    assert list(text) == ["batch_label", "labels", "data", "filenames"]
    assert (text["data"] == read_batch(path)[0]).all()


def test_the_pickles_import_nothing_but_arrays(drawn):
    allowed = {"multiarray _reconstruct", "numpy ndarray", "numpy dtype", "_codecs encode"}
    for path in [*batches(drawn), batches(drawn)[0].with_name("batches.meta")]:
        operations = list(pickletools.genops(path.read_bytes()))
        assert operations[0][1] == 2  # the protocol
        imports = {words for code, words, _ in operations if code.name == "GLOBAL"}
        assert {re.sub(r"numpy\._?core\.", "", words) for words in imports} <= allowed
        assert "STACK_GLOBAL" not in {code.name for code, _, _ in operations}


def test_every_batch_of_cifar10_has_all_classes_equally_often_in_no_order(drawn):
    orders = []
    for path in batches(drawn):
        labels = read_batch(path)[1]
        assert len(set(np.bincount(labels, minlength=10))) == 1
        assert (np.diff(labels) != 1).any()
        orders.append(labels.tobytes())
    assert len(set(orders)) == len(orders)


def test_a_row_is_the_red_plane_then_the_green_then_the_blue(drawn):
    pixels, labels = read_batch(batches(drawn)[0])
    rng = np.random.default_rng([0, 0, labels[0], 0])  # seed, batch, class, place in the batch
    picture = cifar10.draw(labels[0], rng)
    assert (pixels[0].reshape(3, 32, 32) == picture.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("module", [food, pets, cifar10])
def test_pictures_of_one_class_differ_and_are_colourful(module):
    for label in range(len(module.CLASSES)):
        pictures = [module.draw(label, np.random.default_rng([5, label, i])) for i in range(3)]
        small = [cv2.resize(picture, (16, 16)).astype(int) for picture in pictures]
        assert all(np.abs(one - two).mean() > 5 for one, two in pairwise(small))
        assert any(np.ptp(picture.mean(axis=(0, 1))) > 5 for picture in small)


def test_what_lies_outside_the_canvas_is_left_out():
    canvas = drawing.Canvas.blank(20, 30, np.random.default_rng(0))
    canvas.fill(drawing.ellipse(9, 9, 1), (255, 0, 0))
    assert not canvas.pixels.any()
    canvas.fill(drawing.EVERYWHERE, drawing.Paint((255, 0, 0), grain=0))
    assert (canvas.pixels == (255, 0, 0)).all()


def test_a_tilted_canvas_shrinks_what_is_far_away():
    table = drawing.Canvas.blank(100, 100, np.random.default_rng(0)).tilt(0.7, 0.3)
    assert table.place(0, -0.5).unit < table.unit < table.place(0, 0.5).unit


def test_straight_down_is_straight_down_however_the_canvas_is_turned():
    canvas = drawing.Canvas.blank(100, 100, np.random.default_rng(0)).tilt(0.7, 0.2)
    turned = canvas.place(0.2, -0.3, scale=0.5, angle=130, flip=True)
    x, y = turned.slope @ turned.below(0.1)
    assert abs(x) < 1e-9
    assert y == pytest.approx(0.1 * turned.unit)
