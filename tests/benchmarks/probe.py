"""Adds up where a kernel's seconds go; a kernel runs it first, through PYTHONSTARTUP."""

import builtins
import functools
import importlib
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

KINDS = {  # module: {function: what its seconds are spent on}
    "helpers.samples": {"sample_folder": "data"},
    "helpers.cache": {"decode_once": "data"},
    "helpers.archives": {"cifar_batches": "data", "read_photo": "data"},
    "helpers.unpack": {"unpack": "data"},
    "helpers.plots": dict.fromkeys(
        [f"show_{what}" for what in ("pictures", "counts", "bars", "lines", "histograms")]
        + [f"show_{what}" for what in ("heat", "curves", "confusion")],
        "drawing",
    ),
    "IPython.core.pylabtools": {"print_figure": "drawing"},
}


class Clock:
    """Books each second on the innermost thing that is being done."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.doing: list[str] = []
        self.since = time.perf_counter()
        self.first_cell = self.first_picture = 0.0

    def enter(self, kind: str) -> None:
        self._book()
        self.doing.append(kind)

    def leave(self) -> None:
        self._book()
        if self.doing and self.doing.pop() == "drawing" and not self.first_picture:
            self.first_picture = time.time()

    def _book(self) -> None:
        now = time.perf_counter()
        if self.doing:
            self.seconds[self.doing[-1]] += now - self.since
        self.since = now

    def wrap(self, function, kind: str):
        @functools.wraps(function)
        def timed(*args, **kwargs):
            self.enter(kind)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        timed.is_timed = True
        return timed


def watch_modules(clock: Clock) -> None:
    """Time imports, and the functions of `KINDS` from the moment they can be imported."""
    plain = builtins.__import__

    def wrap_functions(name: str) -> None:
        for function, kind in KINDS[name].items():
            found = getattr(sys.modules[name], function, None)
            if found is not None and not hasattr(found, "is_timed"):
                setattr(sys.modules[name], function, clock.wrap(found, kind))

    def timed_import(name, *args, **kwargs):
        if name in sys.modules:
            return plain(name, *args, **kwargs)
        clock.enter("import")
        try:
            module = plain(name, *args, **kwargs)
        finally:
            clock.leave()
        if name in KINDS:
            wrap_functions(name)
        return module

    builtins.__import__ = timed_import
    importlib.import_module = clock.wrap(importlib.import_module, "import")
    for name in KINDS.keys() & sys.modules.keys():
        wrap_functions(name)


def start() -> None:
    """Watch this kernel; after each cell, write what is known so far."""
    import psutil

    clock, shell = Clock(), get_ipython()  # noqa: F821
    born = psutil.Process().create_time()
    file = Path(os.environ["BENCHMARK_TIMES"]) / f"{os.getpid()}.json"

    def before(info) -> None:
        clock.first_cell = clock.first_cell or time.time()
        clock.enter("compute")

    def after(result) -> None:
        clock.doing[:] = clock.doing[:1]
        clock.leave()
        start_up = clock.first_cell - born
        first = clock.first_picture
        times = {"kernel start": start_up, **clock.seconds, "first_picture": first}
        file.write_text(json.dumps(times))

    watch_modules(clock)
    shell.events.register("pre_run_cell", before)
    shell.events.register("post_run_cell", after)


if "BENCHMARK_TIMES" in os.environ and hasattr(builtins, "get_ipython"):
    start()
