"""Every check that CI runs: side by side where they can, each in a home of its own."""

import os
import subprocess
import sys
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


PYTEST = "python -m pytest -n logical --dist worksteal --durations 5 -m not(browser)"
STAGES = (  # lanes of one stage run side by side
    (Lane("lint", ("python -m ruff check .", "python -m ruff format --check .")),),
    (Lane("pytest", (PYTEST,)),),
    (_half(0), _half(1)),  # about as long as each other
)
IN_BROWSER = "python tests/cut_network.py python -m pytest --durations 5 -m browser tests"
BROWSER_STAGE = (Lane("browser", (IN_BROWSER,), one_thread=False),)


def test(browser: bool = True) -> int:
    """Run every check that CI runs, those in Chromium if `browser`; return 1 if one failed.

    They run on the sample in homes of their own, so that neither your data nor your runs change
    the result. A lane ends with the first command that fails.
    """
    failed = []
    for lanes in [*STAGES, *([BROWSER_STAGE] if browser else [])]:
        with ThreadPoolExecutor(len(lanes)) as pool:
            failed += filter(None, pool.map(partial(_failing, len(lanes) > 1), lanes))
    for command in failed:
        print(f"FAILED: {command}")
    return int(bool(failed))


def _failing(is_beside_others: bool, lane: Lane) -> str | None:
    """Run the commands of a lane until one fails, or is interrupted; return that one."""
    threads = {"OMP_NUM_THREADS": "1"} if lane.one_thread else {}
    environment = os.environ | fresh_home(f"test-{lane.home}") | threads
    output = subprocess.PIPE if is_beside_others else None  # else their lines would be mixed
    for command in lane.commands:
        print(f"\n$ {command}", flush=True)
        words = [sys.executable if word == "python" else word for word in command.split()]
        done = subprocess.run(
            words, cwd=REPOSITORY, env=environment, stdout=output, stderr=output, text=True
        )
        if output:
            print(f"\n$ {command}\n{done.stdout}{done.stderr}", flush=True)
        if done.returncode:
            return command
    return None
