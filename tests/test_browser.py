"""What attendees and instructors see, in a real browser. Pictures go to build/screenshots/."""

import urllib.error
import urllib.request

import pytest
from browsing import SHOTS, Lab, browser, is_local, new_page, served

from helpers import __main__
from helpers.workbook import notebook_files

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def opened():
    """Chromium."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def address(opened, tmp_path_factory):
    """JupyterLab on the attendee's copies: its address, one server for all tests."""
    with served(tmp_path_factory.mktemp("lab")) as found:
        yield found


@pytest.fixture
def lab(opened, address):
    """JupyterLab on a fresh page; each request to the outside is a failure."""
    with new_page(opened) as page:
        yield Lab(page, address)


def test_it_opens_on_the_workbook(lab):
    lab.page.goto(lab.address)
    lab.page.wait_for_selector("text=12_food_imagefolder.ipynb")
    lab.page.wait_for_timeout(1500)  # a pop-up would need a moment
    lab.screenshot("lab")
    assert lab.popups() == []
    names = lab.page.locator(".jp-DirListing-itemText").all_inner_texts()
    assert names[0] == "01_install_check.ipynb" and "build" not in names


def test_nobody_comes_in_without_the_token(address):
    base = address.split("/lab?")[0]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{base}/api/contents")
    with urllib.request.urlopen(f"{base}/api/contents?{address.split('?')[1]}") as answer:
        assert b"01_install_check" in answer.read()


@pytest.mark.parametrize(("name", "pictures"), [("01_install_check", 1), ("02_view_data", 5)])
def test_a_notebook_runs_with_run_all(lab, name, pictures):
    lab.open(f"{name}.ipynb")
    lab.run_all()
    cells = lab.page.locator(".jp-Notebook")
    assert cells.locator(".jp-OutputArea-output[data-mime-type*=stderr]").all_inner_texts() == []
    bar = cells.locator(".jupyter-widgets.widget-container .progress, .widget-hprogress").first
    bar.scroll_into_view_if_needed()
    lab.screenshot(f"bar_{name}")
    assert bar.is_visible()
    drawn = cells.locator(".jp-RenderedImage img")
    assert drawn.count() >= pictures
    drawn.first.scroll_into_view_if_needed()
    lab.screenshot(f"plot_{name}")
    assert drawn.first.evaluate("image => image.naturalWidth") > 200
    assert lab.popups() == []


def test_a_cell_out_of_order_says_which_cell_to_run(lab):
    lab.open("02_view_data.ipynb")
    lab.choose("Kernel", "Restart Kernel…")
    lab.page.click(".jp-Dialog button.jp-mod-accept")
    lab.wait_until_idle()
    number = lab.find("table")
    lab.write(number, "print(data.root)")
    sentence = lab.run(number)
    lab.screenshot("out_of_order")
    assert sentence.startswith("`data` is not there yet.\nIt is made in the cell under '")
    assert "(code cell 1)" in sentence and "Traceback" not in sentence


def test_an_exercise_is_answered_wrong_then_right(lab):
    lab.open("03_custom_dataset.ipynb")
    lab.run(lab.find("from helpers import checks"))
    lab.run(lab.find("import cv2"))
    answer, check = lab.find("def normalise"), lab.find("normalise = checks")
    lab.run(answer)
    assert lab.run(check).startswith("normalise: not done yet. ")
    lab.write(
        answer, "def normalise(picture, mean, std):\n    return (picture.float() - mean) / std"
    )
    assert lab.run(answer) == ""
    wrong = lab.run(check)
    lab.screenshot("exercise_wrong")
    assert "the pixels are still 0 to 255" in wrong and "Hint: " in wrong
    lab.write(answer, "def normalise(picture, mean, std):\n    return (picture / 255 - mean) / std")
    lab.run(answer)
    assert lab.run(check).startswith("normalise: right. ")
    lab.screenshot("exercise_right")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_the_themes_can_be_read(lab, theme):
    lab.open("01_install_check.ipynb")
    lab.choose("Settings", "Theme", f"JupyterLab {theme}")
    lab.page.wait_for_selector(f"body[data-jp-theme-name='JupyterLab {theme}']", state="attached")
    lab.run(lab.find("show_pictures"))
    lab.screenshot(f"theme_{theme.lower()}")


def test_the_slides_open_and_advance(opened, tmp_path):
    with served(tmp_path, "--present") as address, new_page(opened, 1280, 720) as page:
        lab = Lab(page, address)
        lab.open("02_view_data.ipynb")
        assert page.locator(".jp-RenderedImage img").count() >= 5  # the outputs are there
        lab.screenshot("present")
        page.click(".jp-Notebook .jp-Cell >> nth=0")
        page.keyboard.press("Alt+r")
        frame = page.frame_locator("iframe[src*='/rise/']")
        frame.locator(".reveal h1").wait_for()
        lab.screenshot("slides_beside")
        page.goto(address.replace("/lab?", "/rise/02_view_data.ipynb?"))
        page.locator(".reveal .present h1").wait_for()
        page.wait_for_timeout(1500)  # the first cell has to be selected
        lab.screenshot("slide_0")
        assert page.locator(".reveal section.present:not(.stack)").inner_text().startswith("02 ")
        seen = []
        for number in (1, 2, 3):
            seen.append(lab.next_slide())
            lab.screenshot(f"slide_{number}")
        assert len(set(seen)) == 3


def test_the_site_needs_no_network(opened, home, capsys):
    pytest.importorskip("jupyter_book", reason="no jupyter-book: it is in the extra site")
    assert __main__.main(["site"]) == 0
    first = home / "build" / "site" / "index.html"
    assert str(first) in capsys.readouterr().out
    with new_page(opened) as page:
        page.goto(first.as_uri())
        steps = page.locator("article li a")
        assert steps.count() == len(notebook_files())
        page.screenshot(path=SHOTS / "site.png")
        for number in (1, 9):
            page.goto(first.as_uri())
            title = steps.nth(number).inner_text()
            steps.nth(number).click()
            assert page.locator("article h1").inner_text().startswith(title)
            drawn = page.locator(".cell_output img")
            drawn.first.scroll_into_view_if_needed()
            assert drawn.first.evaluate("image => image.complete && image.naturalWidth > 200")
            assert "%|" not in page.locator("article").inner_text()  # no bar at 0 %
            page.screenshot(path=SHOTS / f"site_{title[:2]}.png")
        page.goto(f"{first.parent.as_uri()}/search.html?q=checkpoint")
        page.locator("#search-results li a >> text=07 Train").wait_for()
        page.screenshot(path=SHOTS / "site_search.png")


def test_what_is_local_is_told_from_what_is_not():
    assert is_local("http://127.0.0.1:8888/lab") and is_local("data:image/png;base64,")
    assert not is_local("https://fonts.example.org/a.css") and not is_local("http://10.0.0.1/")
