"""Classes taught live: what is kept, learned and refused; and the tab in a browser."""

import random
import re
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest
from PIL import Image, ImageEnhance
from test_serve import in_bytes

from helpers import serve
from helpers.catalog import FOOD, data_folder
from helpers.images import open_picture
from helpers.serve import Predictor
from workshop import teach
from workshop.teach import Teacher


@pytest.fixture
def asked():
    """A predictor of three other classes, without a network."""
    predictor = Predictor.__new__(Predictor)
    predictor.facts, predictor.classes = FOOD, FOOD.classes
    predictor.limit, predictor.measured = 1.0, ""
    return predictor


def views(name, count, seed=0):
    """Yield files of one photograph that came with Gradio: each shows another part of it."""
    images = Path(find_spec("gradio").origin).parent / "media_assets" / "images"
    photo, rng = open_picture(images / f"{name}.jpg"), random.Random(seed)
    for _ in range(count):
        side = int(min(photo.size) * rng.uniform(0.6, 0.95))
        x, y = (rng.randint(0, length - side) for length in photo.size)
        part = photo.crop((x, y, x + side, y + side))
        yield in_bytes(ImageEnhance.Brightness(part).enhance(rng.uniform(0.8, 1.2)))


def keep(teacher, **counts):
    for name, count in counts.items():
        for number, content in enumerate(views(name, count), start=1):
            assert teacher.keep(f" {name} ", content) == f"Kept: {name}/{number:04}.jpg"


def test_it_learns_new_classes_and_refuses_strangers(home, asked):
    teacher = Teacher(asked)
    keep(teacher, lion=8, tower=8)
    said = teacher.learn()
    assert re.match(r"Learned lion, tower in \d", said)
    assert "Of 16 pictures 16 are most like another one of their class" in said
    for name in ("lion", "tower"):
        answers = [asked.ask(content) for content in views(name, 8, seed=1)]
        assert sum(bool(answer.refusal) for answer in answers) <= 1, answers
        assert all(next(iter(answer.probabilities)) == name for answer in answers)
        assert answers[0].heat.ndim == 2 and asked.classes == ("lion", "tower")
    assert all(asked.ask(content).refusal for content in views("cheetah", 4))
    assert "Of 16" in Teacher(asked).learn()  # what was kept is still there


def test_who_asks_while_it_learns_waits(home, asked, monkeypatch):
    keep(teacher := Teacher(asked), lion=8, tower=8)
    asking = Thread(target=asked.ask, args=(next(views("lion", 1)),))

    def remember(points):
        asking.start()
        asking.join(timeout=0.5)
        assert asking.is_alive()
        serve.Predictor.remember(asked, points)

    monkeypatch.setattr(asked, "remember", remember)
    teacher.learn()
    asking.join()


def test_many_pictures_are_learned_too(home, asked, monkeypatch):
    monkeypatch.setattr(serve, "FEW", 20)
    keep(teacher := Teacher(asked), lion=10, tower=10)
    assert "Of 20 pictures 20" in teacher.learn()
    assert all(asked.ask(content).refusal for content in views("cheetah", 4))


def test_the_folder_is_the_users(home, asked):
    keep(teacher := Teacher(asked), lion=3, tower=3)
    folder = data_folder("taught")
    (folder / "lion" / "0002.jpg").unlink()
    (folder / "lion" / "notes.txt").write_text("no picture")
    (folder / "__parts" / "train").mkdir(parents=True)
    (folder / "lion" / "my own.png").write_bytes(next(views("lion", 1, seed=2)))
    assert teacher.keep("lion", next(views("lion", 1, seed=3))) == "Kept: lion/0004.jpg"
    assert "Of 7 pictures" in teacher.learn()
    with Image.open(folder / "lion" / "0004.jpg") as kept:
        assert kept.format == "JPEG" and not kept.getexif()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b", "Train"])
def test_a_name_that_cannot_be_a_folder_keeps_nothing(home, asked, name):
    with pytest.raises(ValueError, match="cannot be the name of a class"):
        Teacher(asked).keep(name, next(views("lion", 1)))
    assert not data_folder("taught").exists()


def test_too_little_is_said_and_what_was_learned_stays(home, asked):
    teacher = Teacher(asked)
    with pytest.raises(ValueError, match="Two classes at least are needed, and there are 0"):
        teacher.learn()
    keep(teacher, lion=3, tower=2)
    with pytest.raises(ValueError, match="'tower' has fewer than 3 pictures"):
        teacher.learn()
    (data_folder("taught") / "tower" / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"bad\.jpg is not a picture"):
        teacher.learn()
    assert asked.classes == FOOD.classes


@pytest.mark.browser
def test_it_is_taught_in_a_browser(home, asked):
    """One class by the camera (Chromium's fake one), one by uploads; a stranger is refused."""
    from browsing import SHOTS, browser, new_page

    def upload(name, seed):
        content = next(views(name, 1, seed))
        with page.expect_file_chooser() as chooser:
            page.click("text=Click to Upload >> visible=true")
        chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": content})

    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    blocks = teach.page(asked)
    address = serve.launch(blocks)
    with browser(*camera) as opened, new_page(opened, 1280, 760) as page:
        page.goto(address)
        page.click("role=tab[name=Teach]")
        page.get_by_text(str(data_folder("taught"))).wait_for()
        page.get_by_label("Name of the class").fill("camera")
        page.click("button[aria-label='Capture from camera'] >> visible=true")
        for number in range(1, 5):
            page.click("text=Click to Access Webcam >> visible=true")
            page.wait_for_timeout(500)  # what is seen by then differs from picture to picture
            page.click("button[aria-label='capture photo'] >> visible=true")
            page.wait_for_selector(f"text=Kept: camera/{number:04}.jpg")
        page.click("role=button[name=Learn]")
        page.wait_for_selector("text=Two classes at least")
        page.get_by_label("Name of the class").fill("lion")
        page.click("button[aria-label='Upload file'] >> visible=true")
        for number in range(1, 5):
            upload("lion", number)
            page.wait_for_selector(f"text=Kept: lion/{number:04}.jpg")
        page.click("role=button[name=Learn]")
        page.wait_for_selector("text=Learned camera, lion")
        page.screenshot(path=SHOTS / "teach.png")
        for name, words in (("lion", "like what it learned from"), ("tower", "No answer")):
            page.goto(address)
            upload(name, 9)
            page.wait_for_selector(f"text={words}")
            page.wait_for_timeout(1000)  # for the map
            page.screenshot(path=SHOTS / f"teach_{name}.png")
    blocks.close(verbose=False)
