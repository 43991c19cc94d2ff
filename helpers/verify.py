"""Every check that CI runs: side by side where they can, each in a home of its own."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from helpers.catalog import REPOSITORY
from helpers.workbook import fresh_home


class Lane(NamedTuple):
    """Commands of `test` that run one after the other, in a home of their own."""

    home: str
    commands: tuple[str, ...]
    one_thread: bool = True  # other processes use the other cores


def _half(tens: int) -> Lane:
    """Return the checks of the notebooks 01 to 09 or 10 to 15, and of their learner's copies.

    The notebooks are compared strictly, and with the network cut: one that asks for anything
    fails. Then the learner's copies are run. What is there already is not drawn again.
    """
    return Lane(
        f"notebooks-{tens}",
        (
            "python tests/cut_network.py python -m pytest --nbval --nbval-current-env "
            "--nbval-cell-timeout 1800 --nbval-sanitize-with tests/nbval_sanitize.cfg "
            f"--durations 5 notebooks --ignore-glob notebooks/{1 - tens}*",
            f"python tests/cut_network.py python tests/learner_copies.py {tens}",
        ),
    )


STAGES = (  # lanes of one stage run side by side
    (Lane("lint", ("python -m ruff check .", "python -m ruff format --check .")),),
    (
        Lane(
            "pytest",
            ("python -m pytest -n logical --dist worksteal --durations 5 -m not(browser)",),
        ),
    ),
    (_half(0), _half(1)),  # about as long as each other
)
BROWSER_STAGE = (
    Lane(
        "browser",
        ("python tests/cut_network.py python -m pytest --durations 5 -m browser tests",),
        one_thread=False,
    ),
)


def test(browser: bool = True) -> int:
    """Run every check that CI runs.

    They run on the sample in homes of their own, so that neither your data nor your runs change
    the result.

    Parameters
    ----------
    browser : bool
        False leaves out what is done in Chromium.

    Returns
    -------
    int
        1 if a check failed, else 0.
    """
    failed = []
    for lanes in [*STAGES, *([BROWSER_STAGE] if browser else [])]:
        stopped = threading.Event()
        with ThreadPoolExecutor(len(lanes)) as pool:
            try:
                for commands in pool.map(partial(_failing, len(lanes) > 1, stopped), lanes):
                    failed += commands
            except KeyboardInterrupt:  # what is running has been interrupted too
                stopped.set()
                raise
    for command in failed:
        print(f"FAILED: {command}")
    return int(bool(failed))


def _failing(is_beside_others: bool, stopped: threading.Event, lane: Lane) -> list[str]:
    """Run the commands of a lane until somebody stops it; return those that failed."""
    threads = {"OMP_NUM_THREADS": "1"} if lane.one_thread else {}
    environment = os.environ | fresh_home(f"test-{lane.home}") | threads
    output = subprocess.PIPE if is_beside_others else None  # else their lines would be mixed
    failed = []
    for command in lane.commands:
        if stopped.is_set():
            break
        print(f"\n$ {command}", flush=True)
        words = [sys.executable if word == "python" else word for word in command.split()]
        done = subprocess.run(
            words, cwd=REPOSITORY, env=environment, stdout=output, stderr=output, text=True
        )
        if output:
            print(f"\n$ {command}\n{done.stdout}{done.stderr}", flush=True)
        if done.returncode:
            failed.append(command)
            stopped.wait(5)  # seconds: an interrupt comes here a moment after it came there
    return failed
