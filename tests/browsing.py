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

SHOTS = REPOSITORY / "build" / "screenshots"  # for a person to look at
SWITCHES = ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
MILLISECONDS = 120_000  # a page that takes longer has failed, even on a busy machine


@contextlib.contextmanager
def browser(*more):
    """Yield a Chromium without a window, with more switches; skip where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="it is in the extra dev")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if not path:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    switches = [*SWITCHES, *more, *(["--no-sandbox"] if root else [])]
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=switches)
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
    """Run `python -m workshop lab` in a home of its own; yield the address that it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment |= {"WORKSHOP_HOME": str(home), "WORKSHOP_DATA": "sample"}
    # not the settings of whoever runs this
    environment |= {"JUPYTER_CONFIG_DIR": str(home / "c"), "IPYTHONDIR": str(home / "i")}
    command = [sys.executable, "-m", "workshop", "lab", "--no-browser", *words]
    log = home / "lab.log"
    options = {"cwd": REPOSITORY, "env": environment, "stderr": subprocess.STDOUT}
    with log.open("w") as stream:  # its own session, to be stopped with all that it started
        server = subprocess.Popen(command, stdout=stream, start_new_session=True, **options)
    try:
        while not (found := re.search(r"http://127\.0\.0\.1:\S+", log.read_text())):
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        yield found.group()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(120)


class Lab:
    """JupyterLab on an empty page; the address is the one with the token."""

    cells = ".jp-Notebook .jp-CodeCell"

    def __init__(self, page, address):
        self.page, self.address = page, address

    def open(self, name):
        """Open a notebook."""
        self.page.goto(self.address.replace("/lab?", f"/lab/tree/{name}?reset&"))
        self.wait_until_ready()

    def wait_until_ready(self):
        """Wait until the kernel of a notebook that opens can be used."""
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait_until_idle()

    def wait_until_idle(self):
        """Wait until nothing runs and nothing waits to run."""
        self.page.wait_for_selector(".jp-StatusBar-Widget >> text=/\\| Idle$/")
        self.page.wait_for_function(
            "() => ![...document.querySelectorAll('.jp-InputPrompt')]"
            ".some(prompt => prompt.textContent.includes('*'))"
        )

    def run_all(self):
        """Run all cells from the menu, and wait for the last one."""
        self.page.click(".lm-MenuBar-item >> text='Run'")
        self.page.click(".lm-Menu-itemLabel >> text='Run All Cells'")
        self.page.wait_for_selector(f"{self.cells} >> nth=-1 >> text=/\\[[0-9]+\\]/")
        self.wait_until_idle()

    def find(self, text):
        """Return the first code cell whose source has a text."""
        sources = self.page.locator(f"{self.cells} .jp-InputArea-editor").all_inner_texts()
        number = next(number for number, source in enumerate(sources) if text in source)
        return self.page.locator(self.cells).nth(number)

    def run(self, cell, source=None):
        """Run a code cell, with another source if there is one, and return the text below it."""
        cell.locator(".cm-content").click()
        if source:
            self.page.keyboard.press("ControlOrMeta+a")
            self.page.keyboard.insert_text(source)
        self.page.keyboard.press("ControlOrMeta+Enter")
        self.wait_until_idle()
        return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts())
