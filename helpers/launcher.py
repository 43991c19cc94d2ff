"""Start several processes of this machine from a notebook; `torchrun` does it on a command line."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable
from typing import Any

import torch
from accelerate import notebook_launcher
from torch import distributed
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException, start_processes


def launch(function: Callable, *arguments: Any, processes: int = 2) -> None:
    """Call a function in several processes of this machine at once, from a notebook or a script.

    Parameters
    ----------
    function : callable
        From a module that can be imported: elsewhere than on Linux, and beside a GPU, each process
        is a new Python.
    *arguments
        What it is called with in each process.
    processes : int
        How many, at least two.

    Raises
    ------
    ChildProcessError
        If one is killed or fails. The others are ended too.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        if sys.platform == "linux" and not torch.cuda.is_available():  # else a fork may hang
            place = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}  # 0: any free port
            with contextlib.redirect_stdout(io.StringIO()):  # "Launching training on 2 CPUs."
                notebook_launcher(function, arguments, num_processes=processes, **place)
        else:
            _spawn(function, arguments, processes)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        said = failure.message["message"] if isinstance(failure.message, dict) else failure.message
        reason = failure.signal_name() if failure.exitcode < 0 else said.strip()
        raise _ended_early(rank, processes, reason) from None
    except (ProcessRaisedException, ProcessExitedException) as error:
        trace = str(error).rpartition("(most recent call last):")[2]  # its frames are indented
        found = getattr(error, "signal_name", None) or re.search(r"^\S.*", trace, re.M | re.S)[0]
        raise _ended_early(error.error_index, processes, found.strip()) from None


def _spawn(function: Callable, arguments: tuple, processes: int) -> None:
    """Call a function in new processes, and end all of them when one fails or this is stopped."""
    store = distributed.TCPStore(  # where they meet; it keeps its port from the beginning
        "127.0.0.1", 0, is_master=True, wait_for_workers=False, use_libuv=False
    )
    words = (function, arguments, processes, store.port)
    started = start_processes(_join, words, processes, join=False, start_method="spawn")
    try:
        while not started.join():
            pass
    finally:
        for process in started.processes:
            process.terminate()


def _join(rank: int, function: Callable, arguments: tuple, processes: int, port: int) -> None:
    """Call a function in a new process, after telling it what `torchrun` would."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
    told |= {"LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    told |= {"TORCHELASTIC_USE_AGENT_STORE": True}  # the store is in the process that launched
    os.environ.update({name: str(value) for name, value in told.items()})
    function(*arguments)


def _ended_early(rank: int, processes: int, reason: str) -> ChildProcessError:
    return ChildProcessError(
        f"Process {rank} of {processes} ended early: {reason.rstrip('.')}. The others were ended "
        "too. If it was training, the finished epochs are kept: resume=True goes on from there."
    )
