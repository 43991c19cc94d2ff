"""Look at this machine: what the workshop needs, whether it is here, and what to do if not."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.catalog import AOI, data_folder, home, missing_parts, real_folder, weights_folder

OLDEST_PYTHON = (3, 11)
DISK_FAIL, DISK_WARN = 0.3, 2.0  # GB: the samples with their caches; some real data too
MEMORY_FAIL, MEMORY_WARN = 2.0, 4.0  # GB in all
INSTALL = (
    "Install what requirements.txt lists, and this folder: "
    "python -m pip install -r requirements.txt -e ."
)


@dataclass(frozen=True)
class Check:
    """One line of the report: OK, WARN or FAIL; what was found; what to do about it."""

    status: str
    name: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{f'[{self.status}]':7}{self.name}: {self.found}"
        return f"{line}\n       -> {self.advice}" if self.advice else line


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """Check that Python is new enough."""
    found = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version < OLDEST_PYTHON:
        return Check("FAIL", "Python", found, "Install Python 3.11 or newer and set up again.")
    return Check("OK", "Python", found)


def required() -> list[str]:
    """Return the packages that pyproject.toml asks for, without the optional ones."""
    lines = importlib.metadata.requires("image-classification-workshop") or []
    return [re.match(r"[\w.-]+", line)[0] for line in lines if "extra ==" not in line]


def check_packages(names: Sequence[str] = ()) -> Check:
    """Check that the packages are installed."""
    names = names or [name for name in required() if "opencv" not in name]  # has several builds
    missing = [name for name in names if not any(importlib.metadata.distributions(name=name))]
    if missing:
        return Check("FAIL", "Packages", f"{', '.join(missing)} not installed", INSTALL)
    return Check("OK", "Packages", f"{len(names)} of {len(names)} installed")


def check_torch() -> Check:
    """Check that torch and torchvision can be imported and belong together."""
    import torch

    try:
        import torchvision

        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        torchvision.ops.nms(boxes, torch.ones(1), 0.5)  # compiled code: works with its torch only
    except Exception as error:
        found = f"torchvision does not fit torch {torch.__version__}: {_short(error)}"
        advice = (
            "Only pairs released together work. Install both again in one command: "
            "python -m pip install torch==2.14.1 torchvision==0.29.1"
        )
        return Check("FAIL", "PyTorch", found, advice)
    found = f"torch {torch.__version__} and torchvision {torchvision.__version__}"
    return Check("OK", "PyTorch", found)


def check_device() -> Check:
    """Say which device will compute."""
    import torch

    from helpers.training import best_device

    device = best_device()
    try:
        (torch.ones(2, device=device) + 1).sum().item()
    except Exception as error:
        advice = "The GPU does not work with this PyTorch. Set CUDA_VISIBLE_DEVICES to nothing."
        return Check("FAIL", "Device", f"{device} fails: {_short(error)}", advice)
    if device.type == "cuda":
        return Check("OK", "Device", f"GPU {torch.cuda.get_device_name()}")
    if device.type == "mps":
        return Check("OK", "Device", "Apple GPU (mps)")
    return Check("OK", "Device", f"CPU, {torch.get_num_threads()} threads (enough for every step)")


def check_cores(cores: int = 0) -> Check:
    """Check how many CPU cores may be used."""
    from helpers.loaders import cpu_cores

    cores = cores or cpu_cores()
    if cores == 1:
        return Check("WARN", "CPU cores", "1", "Everything works, but allow twice the time.")
    return Check("OK", "CPU cores", str(cores))


def check_memory(gigabytes: float = 0) -> Check:
    """Check the machine's memory."""
    import psutil

    gigabytes = gigabytes or psutil.virtual_memory().total / 1e9
    found = f"{gigabytes:.1f} GB"
    if gigabytes < MEMORY_FAIL:
        advice = "Too little for PyTorch and a browser. Use another machine."
        return Check("FAIL", "Memory", found, advice)
    if gigabytes < MEMORY_WARN:
        advice = "Close other programs, and shut down each notebook's kernel when it is done."
        return Check("WARN", "Memory", found, advice)
    return Check("OK", "Memory", found)


def check_disk(gigabytes: float = 0) -> Check:
    """Check the free disk space where data and runs go."""
    gigabytes = gigabytes or shutil.disk_usage(_existing(home())).free / 1e9
    found = f"{gigabytes:.1f} GB free"
    if gigabytes < DISK_FAIL:
        return Check("FAIL", "Disk", found, f"Free at least {DISK_FAIL} GB for the samples.")
    if gigabytes < DISK_WARN:
        return Check("WARN", "Disk", found, "Enough for the samples, not for the real data.")
    return Check("OK", "Disk", found)


def check_writable(folder: Path | None = None) -> Check:
    """Check that data/ and runs/ can be written."""
    probe = _existing(folder or home()) / ".write-test"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        found = f"the workshop's folder is read-only ({error.strerror})"
        return Check("FAIL", "Folder", found, "Set WORKSHOP_HOME to a folder of your own.")
    return Check("OK", "Folder", "data/ and runs/ can be written")


def check_opencv() -> Check:
    """Check that OpenCV can be imported, with the libraries it needs, and can decode a PNG."""
    try:
        import cv2
        import numpy as np

        _, png = cv2.imencode(".png", np.zeros((8, 8), np.uint8))
        cv2.imdecode(png, cv2.IMREAD_UNCHANGED).shape  # noqa: B018
    except Exception as error:
        if "libGL" not in str(error) and "libgthread" not in str(error):
            raise
        advice = (
            "opencv-python needs libraries for windows that this machine lacks. "
            "Use the build without windows: python -m pip uninstall -y opencv-python; "
            "python -m pip install --force-reinstall opencv-python-headless"
        )
        return Check("FAIL", "OpenCV", f"import cv2 fails: {_short(error)}", advice)
    return Check("OK", "OpenCV", cv2.__version__)


def check_widgets() -> Check:
    """Check that progress bars can be drawn as widgets."""
    try:
        version = importlib.metadata.version("ipywidgets")
    except importlib.metadata.PackageNotFoundError:
        advice = "Progress bars will be plain text. python -m pip install ipywidgets"
        return Check("WARN", "ipywidgets", "not installed", advice)
    return Check("OK", "ipywidgets", version)


def check_workers(seconds: float = 60) -> Check:
    """Start a DataLoader worker for real, the way Windows and macOS do it."""
    try:
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        options = {"num_workers": 1, "multiprocessing_context": "spawn", "timeout": seconds}
        count = len(list(DataLoader(TensorDataset(torch.arange(4)), **options)))
    except Exception as error:
        advice = "Use workers=0 everywhere: slower with large pictures, otherwise the same."
        return Check("WARN", "DataLoader workers", f"do not start: {_short(error)}", advice)
    return Check("OK", "DataLoader workers", f"start ({count} batches came back)")


def check_data() -> Check:
    """Say which data is here."""
    if not missing_parts(AOI, real_folder(AOI)):
        return Check("OK", "AOI data", "the real data set")
    if (data_folder(AOI.name) / f"sample-{AOI.sample_version}").is_dir():
        return Check("OK", "AOI data", "the drawn sample")
    return Check("OK", "AOI data", "none yet: the sample is drawn at its first use")


def check_weights() -> Check:
    """Say which pretrained weights are here; no step needs a download."""
    files = weights_folder().glob("*.*")
    found = sorted(file.stem for file in files if file.suffix in (".pth", ".safetensors"))
    return Check("OK", "Weights", ", ".join(found) or "no pretrained weights (none are needed)")


CHECKS = tuple(check for name, check in globals().items() if name.startswith("check_"))


def examine() -> list[Check]:
    """Run every check, in the order of their definitions."""
    return [_safely(check) for check in CHECKS]


def _safely(check: Callable[[], Check]) -> Check:
    """Return what the check finds; a check that fails itself is a finding, too."""
    try:
        return check()
    except Exception as error:
        name = check.__name__.removeprefix("check_").capitalize()
        return Check("FAIL", name, f"cannot be checked: {_short(error)}", INSTALL)


def report(checks: Iterable[Check | str]) -> str:
    """Return all lines as one block; between backticks, chats show it as it is."""
    return "\n".join(["```", *map(str, checks), "```"])


def paste(checks: list[Check]) -> str:
    """Return the report with what a helper asks next: versions, settings, and what to add by hand.

    It is without your name: your home folder is written as ~.
    """
    versions = [
        f"{name} {importlib.metadata.version(name)}"
        for name in required()
        if any(importlib.metadata.distributions(name=name))
    ]
    settings = [f"{name}={os.environ[name]}" for name in os.environ if name.startswith("WORKSHOP_")]
    lines = [
        *checks,
        f"Versions: {', '.join(versions)}",
        f"Settings: {', '.join(sorted(settings)) or 'none'}",
        f"Folder: {home()}",
        f"Python: {sys.executable}",
    ]
    text = report(lines)
    if Path.home().name:  # in some containers it is /
        text = text.replace(str(Path.home()), "~")
        text = re.sub(rf"(?<=[/\\]){re.escape(Path.home().name)}(?=[/\\])", "…", text)
    text = re.sub("//[^/@ ]+@", "//", text)  # a name and a password in an address
    return (
        f"{text}\nStep and cell: (for example step 07, the third code cell)\n"
        "What I did: \nWhat I expected: \nLast lines of the error: "
    )


def verdict(checks: list[Check]) -> str:
    """Return one sentence: ready, or what failed."""
    failed = [check.name for check in checks if check.status == "FAIL"]
    if failed:
        return f"Not ready yet: {', '.join(failed)}. Do what the arrows say, then run this again."
    return "Ready: nothing failed."


def _short(error: Exception) -> str:
    """Return the first line of an error, without the paths that long ones carry."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(one for one in (folder, *folder.parents) if one.exists())
