"""Chromium under Playwright, and JupyterLab in it: what the browser tests share."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from conftest import REPOSITORY

SHOTS = REPOSITORY / "build" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
MILLISECONDS = 120_000  # a page that takes longer has failed, even on a busy machine


def chromium():
    """Return Chromium's path, or skip and say what is missing."""
    pytest.importorskip("playwright", reason="no Playwright: it is in the extra dev")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    return found


@contextlib.contextmanager
def browser():
    """Yield a Chromium without a window."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        switches = [*SWITCHES, *(["--no-sandbox"] if root else [])]
        opened = playwright.chromium.launch(executable_path=path, args=switches)
        yield opened
        opened.close()


@contextlib.contextmanager
def new_page(opened, width=1280, height=800):
    """Yield a page; at the end nothing outside this machine may have been asked for."""
    context = opened.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(MILLISECONDS)
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    yield context.new_page()
    context.close()
    assert asked, "nothing was recorded"
    assert [url for url in asked if not is_local(url)] == []


def is_local(url):
    """Return whether a request stays on this machine."""
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "file", "about") or parts.hostname == "127.0.0.1"


@contextlib.contextmanager
def served(home, *words):
    """Run `python -m helpers lab` in a home of its own; yield the address that it prints."""
    clean = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment = clean | {
        "WORKSHOP_HOME": str(home),
        "WORKSHOP_DATA": "sample",
        "JUPYTER_CONFIG_DIR": str(home / "jupyter"),  # not the settings of whoever runs this
        "IPYTHONDIR": str(home / "ipython"),
    }
    log = home / "lab.log"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "helpers", "lab", "--no-browser", *words],
            cwd=REPOSITORY,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that it can be stopped with all that it started
        )
    try:
        yield _address(server, log)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(120)


def _address(server, log):
    for _ in range(3000):  # tenths of a second
        found = re.search(r"http://127\.0\.0\.1:\S+", log.read_text())
        if found:
            return found.group()
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


class Lab:
    """JupyterLab on a page.

    Parameters
    ----------
    page : Page
        Empty.
    address : str
        With the token, as `lab` prints it.
    """

    def __init__(self, page, address):
        self.page, self.address = page, address

    def open(self, name):
        """Open a notebook and wait until its kernel can be used."""
        self.page.goto(self.address.replace("/lab?", f"/lab/tree/{name}?reset&"))
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait_until_idle()

    def wait_until_idle(self):
        """Wait until nothing runs and nothing waits to run."""
        self.page.wait_for_selector(".jp-StatusBar-Widget >> text=/\\| Idle$/")
        self.page.wait_for_function(
            "() => ![...document.querySelectorAll('.jp-InputPrompt')]"
            ".some(prompt => prompt.textContent.includes('*'))"
        )

    def choose(self, *labels):
        """Click through the menus, such as "Run", "Run All Cells"."""
        self.page.click(f".lm-MenuBar-item >> text='{labels[0]}'")
        for label in labels[1:-1]:
            self.page.hover(f".lm-Menu-itemLabel >> text='{label}'")
        self.page.click(f".lm-Menu-itemLabel >> text='{labels[-1]}'")

    def run_all(self):
        """Run all cells and wait for the last one."""
        self.choose("Run", "Run All Cells")
        self.page.wait_for_selector(f"{self._cells} >> nth=-1 >> text=/\\[[0-9]+\\]/")
        self.wait_until_idle()

    _cells = ".jp-Notebook .jp-CodeCell"

    def cell(self, number):
        """Return code cell `number`, counted from 1."""
        return self.page.locator(self._cells).nth(number - 1)

    def find(self, text):
        """Return the number of the first code cell whose source has a text."""
        sources = self.page.locator(f"{self._cells} .jp-InputArea-editor").all_inner_texts()
        return next(n for n, source in enumerate(sources, start=1) if text in source)

    def write(self, number, source):
        """Replace the source of code cell `number` as an attendee would."""
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(source)

    def run(self, number):
        """Run code cell `number` and return the text below it."""
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+Enter")
        self.wait_until_idle()
        return self.output(number)

    def output(self, number):
        """Return the text below code cell `number`."""
        return "\n".join(self.cell(number).locator(".jp-OutputArea-output").all_inner_texts())

    def next_slide(self):
        """Press the space bar until the slide changes: a busy page may miss it; return its text."""
        slide = self.page.locator(".reveal section.present:not(.stack)")
        before = slide.inner_text()
        for _ in range(20):
            self.page.keyboard.press("Space")
            self.page.wait_for_timeout(1500)
            if slide.inner_text() != before:
                return slide.inner_text()
        raise TimeoutError("the slides do not advance")

    def popups(self):
        """Return the text of every dialog and message on the page."""
        return self.page.locator(".jp-Dialog, .Toastify__toast").all_inner_texts()

    def screenshot(self, name):
        """Store build/screenshots/NAME.png, for a person to look at."""
        self.page.screenshot(path=SHOTS / f"{name}.png")
