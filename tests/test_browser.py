"""What attendees and instructors see, in a real browser. Pictures go to build/screenshots/."""

import pytest
from browsing import SHOTS, Lab, browser, is_local, new_page, served

from helpers.samples import aoi
from workshop.__main__ import main
from workshop.room import notebook_files

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def opened():
    """Chromium."""
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def address(opened, tmp_path_factory):
    """JupyterLab on the attendee's copies, with few pictures: its address, for all tests."""
    home = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aoi, "COUNTS", {"train": 24, "test": 1})
        (home / "data" / "aoi").mkdir(parents=True)
        aoi.write(home / "data" / "aoi" / "sample")
    with served(home) as found:
        yield found


@pytest.fixture
def lab(opened, address):
    """JupyterLab on a fresh page; each request to the outside is a failure."""
    with new_page(opened) as page:
        yield Lab(page, address)


def test_it_opens_on_the_workbook_and_a_notebook_runs(lab):
    page = lab.page
    page.goto(lab.address)
    page.wait_for_selector("text=12_food_imagefolder.ipynb")
    names = page.locator(".jp-DirListing-itemText").all_inner_texts()
    assert names[0] == "01_install_check.ipynb" and "build" not in names
    page.dblclick(".jp-DirListing-itemText >> text=01_install_check.ipynb")
    lab.wait_until_ready()
    lab.run_all()
    cells = page.locator(".jp-Notebook")
    assert cells.locator(".jp-OutputArea-output[data-mime-type*=stderr]").all_inner_texts() == []
    bar = cells.locator(".jupyter-widgets.widget-container .progress, .widget-hprogress").first
    bar.scroll_into_view_if_needed()
    assert bar.is_visible()
    drawn = cells.locator(".jp-RenderedImage img").first
    drawn.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / "lab.png")
    assert drawn.evaluate("image => image.naturalWidth") > 200
    assert page.locator(".jp-Dialog, .Toastify__toast").all_inner_texts() == []  # no pop-ups


def test_a_cell_out_of_order_names_another_an_exercise_is_answered_and_a_window_moves(lab):
    lab.open("05_model.ipynb")
    sentence = lab.run(lab.find("largest answers"), "print(data.root)")
    assert sentence.startswith("`data` is not there yet.\nIt is made in the cell under '")
    assert "(code cell 1)" in sentence and "Traceback" not in sentence
    lab.run(lab.find("import torch"))
    answer, check = lab.find("def corr2d"), lab.find("corr2d = checks")
    lab.run(answer)
    assert lab.run(check).startswith("corr2d: not done yet. ")
    code = "def corr2d(x, k):\n    return torch.conv2d(x[None, None], k[None, None])[0, 0]"
    assert lab.run(answer, code.replace("k[None", "k.flip(0, 1)[None")) == ""
    wrong = lab.run(check)
    assert "turned round here" in wrong and "Hint: " in wrong
    lab.run(answer, code)
    assert lab.run(check).startswith("corr2d: right. ")
    lab.page.screenshot(path=SHOTS / "exercise.png")
    lab.run(lab.find("line = torch.ones"))
    cell = lab.find("import interact")
    lab.run(cell)
    drawn = cell.locator(".jupyter-widgets img")
    before = drawn.get_attribute("src")
    cell.locator(".noUi-handle").press("ArrowRight")
    cell.locator(f".jupyter-widgets img:not([src='{before}'])").wait_for()
    lab.page.screenshot(path=SHOTS / "window.png")


def test_the_slides_open_and_advance(opened, tmp_path):
    with served(tmp_path, "--present") as address, new_page(opened, 1280, 720) as page:
        Lab(page, address).open("02_view_data.ipynb")
        assert page.locator(".jp-RenderedImage img").count() >= 3  # the outputs are there
        page.click(".jp-Notebook .jp-Cell >> nth=0")
        page.keyboard.press("Alt+r")
        slides = page.frame_locator("iframe[src*='/rise/']")
        slide = slides.locator(".reveal section.present:not(.stack)")
        slides.locator(".reveal .present h1").click()
        assert slide.inner_text().startswith("02 ")
        seen = {slide.inner_text()}
        for _ in range(100):  # a busy page may miss a key
            page.keyboard.press("Space")
            page.wait_for_timeout(400)
            seen.add(slide.inner_text())
            page.screenshot(path=SHOTS / f"slide_{len(seen)}.png")
            if len(seen) == 4:
                return
        raise TimeoutError("the slides do not advance")


def test_the_site_needs_no_network(opened, home):
    pytest.importorskip("jupyter_book", reason="no jupyter-book: it is in the extra site")
    assert main(["site"]) == 0
    first = home / "build" / "site" / "index.html"
    with new_page(opened) as page:
        page.goto(first.as_uri())
        steps = page.locator("article li a")
        assert steps.count() == len(notebook_files())
        title = steps.nth(8).inner_text()
        steps.nth(8).click()
        assert page.locator("article h1").inner_text().startswith(title)
        drawn = page.locator(".cell_output img").first
        drawn.scroll_into_view_if_needed()
        assert drawn.evaluate("image => image.complete && image.naturalWidth > 200")
        assert "%|" not in page.locator("article").inner_text()  # no bar at 0 %
        page.screenshot(path=SHOTS / "site.png")
        page.goto(f"{first.parent.as_uri()}/search.html?q=checkpoint")
        page.locator("#search-results li a >> text=07 Train").wait_for()


def test_what_is_local_is_told_from_what_is_not():
    assert is_local("http://127.0.0.1:8888/lab") and is_local("data:image/png;base64,")
    assert not is_local("https://fonts.example.org/a.css") and not is_local("http://10.0.0.1/")
