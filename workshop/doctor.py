"""Look at this machine: what the workshop needs, whether it is here, and what to do if not."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.catalog import REPOSITORY, home

PAIR = "python -m pip install --force-reinstall torch torchvision"


@dataclass(frozen=True)
class Check:
    """One line of the report: OK, WARN or FAIL; what was found; what to do about it."""

    status: str
    found: str
    advice: str = ""
    name: str = ""

    def __str__(self) -> str:
        line = f"{f'[{self.status}]':7}{self.name}: {self.found}"
        return f"{line}\n       -> {self.advice}" if self.advice else line


def machine() -> Check:
    """Check that Python is new enough, and that there is some memory."""
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < (3, 11, 4):
        return Check("FAIL", found, "Install Python 3.11.4 or newer and set up again.")
    import psutil  # an old Python has none of the packages

    memory = psutil.virtual_memory().total / 1e9
    found += f", {memory:.1f} GB of memory"
    if memory < 4:
        return Check("WARN", found, "Close other programs, and the kernels of finished notebooks.")
    return Check("OK", found)


def file_names() -> Check:
    """Check that no file beside the notebooks hides a package: a torch.py, or a random.py."""
    packages = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()}
    places = {Path.cwd(), REPOSITORY, REPOSITORY / "notebooks", home() / "workbook"}
    files = [file for place in places for file in place.glob("*.py") if file.stem in packages]
    if files:
        hiding = ", ".join(sorted(f"{file.parent.name}/{file.name}" for file in files))
        found = f"{hiding}: taken for the package of the same name"
        return Check("FAIL", found, "Rename it, then restart the kernel.")
    return Check("OK", "none hides a package")


def packages() -> Check:
    """Check that the packages are installed, in versions that were tried."""
    import tomllib  # an older Python has none, and `machine` says so

    from packaging.requirements import Requirement

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    # of OpenCV, any build will do: see `opencv`
    wanted = [Requirement(line) for line in project["dependencies"] if "opencv" not in line]
    here = {one: [*importlib.metadata.distributions(name=one.name)] for one in wanted}
    found = {one: builds[0].version if builds else None for one, builds in here.items()}
    wrong = [one for one in found if not found[one] or found[one] not in one.specifier]
    if wrong:
        said = ", ".join(f"{one.name} ({found[one] or 'missing'})" for one in wrong)
        advice = "python -m pip install " + " ".join(f'"{one}"' for one in wrong)
        status = "WARN" if all(found[one] for one in wrong) else "FAIL"
        return Check(status, f"not as tried: {said}", advice)
    return Check("OK", f"{len(found)} of {len(found)} installed")


def pytorch() -> Check:
    """Check that torch and torchvision can be imported and belong together."""
    import torch
    import torchvision

    # compiled code, which works with its own torch only
    torchvision.ops.nms(torch.ones(1, 4), torch.ones(1), 0.5)
    return Check("OK", f"torch {torch.__version__} and torchvision {torchvision.__version__}")


def device() -> Check:
    """Say which device will compute."""
    import torch

    from helpers.training import best_device

    chosen = best_device()
    (torch.ones(2, device=chosen) + 1).sum().item()
    if chosen.type != "cpu":
        kind = "ROCm" if torch.version.hip else chosen.type.upper()  # CUDA, MPS
        card = torch.cuda.get_device_name() if chosen.type == "cuda" else ""
        return Check("OK", f"GPU with {kind} {card}".rstrip())
    found = f"CPU, {torch.get_num_threads()} threads (enough for every step)"
    listed = subprocess.getoutput("nvidia-smi -L", errors="replace")
    if "GPU 0" not in listed and not Path("/dev/nvidia0").exists():
        return Check("OK", found)
    advice = "Is CUDA_VISIBLE_DEVICES set to nothing? Else update the card's driver."
    if not torch.version.cuda:  # a build for CPUs
        advice = "Choose CUDA on https://pytorch.org/get-started/locally/ and pass the ADDRESS "
        advice += f"shown: {PAIR} --index-url ADDRESS"
    return Check("WARN", f"{found}; this PyTorch does not see the NVIDIA card", advice)


def folders() -> Check:
    """Check that data/ and runs/ can be written, and that there is room."""
    probe = home() / f".write-test-{os.getpid()}"  # tempfile would try for ever on Windows
    probe.mkdir(parents=True)
    probe.rmdir()
    gigabytes = shutil.disk_usage(home()).free / 1e9
    found = f"data/ and runs/ can be written, {gigabytes:.1f} GB free"
    if gigabytes < 0.3:
        return Check("FAIL", found, "Free at least 0.3 GB for the samples.")
    return Check("OK", found)


def opencv() -> Check:
    """Check that OpenCV can be imported, and reads a PNG."""
    import cv2
    import numpy as np

    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    back = cv2.imdecode(cv2.imencode(".png", picture)[1], cv2.IMREAD_UNCHANGED)
    same = np.array_equal(back, picture)
    return Check("OK" if same else "FAIL", f"{cv2.__version__}, a PNG comes back whole: {same}")


def workers() -> Check:
    """Start a DataLoader worker for real, in the way in which this system starts them."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    list(DataLoader(TensorDataset(torch.arange(4)), num_workers=1, timeout=60))
    return Check("OK", "start")


CHECKS = {
    "Machine": machine,
    "File names": file_names,
    "Packages": packages,
    "PyTorch": pytorch,
    "Device": device,
    "Folders": folders,
    "OpenCV": opencv,
    "DataLoader workers": workers,
}
REMEDIES = {  # if the check itself breaks
    "PyTorch": f"Only pairs released together work. Install both again in one command: {PAIR}",
    "Device": "The GPU does not work with this PyTorch. Set CUDA_VISIBLE_DEVICES to nothing.",
    "Folders": "Set WORKSHOP_HOME to a folder of your own, which can be written.",
    # another build needs libGL; what is left of two builds has no imdecode
    "OpenCV": "python -m pip install --force-reinstall --no-deps opencv-python-headless",
    "DataLoader workers": "Use none: slower with large pictures, otherwise the same.",
}


def examine() -> list[Check]:
    """Run every check; one that breaks is a finding, too."""
    checks = []
    for name, check in CHECKS.items():
        try:
            found = check()
        except Exception as error:
            advice = REMEDIES.get(name, "python -m pip install -r requirements.txt -e .")
            broken = f"does not work: {type(error).__name__}: {error}".splitlines()[0]
            status = "WARN" if check is workers else "FAIL"
            found = Check(status, broken[:150], advice)  # long ones carry paths
        checks.append(replace(found, name=name))
        if check is file_names and found.status == "FAIL":
            break  # others would be blamed for what it breaks
    return checks


def report(checks: list[Check | str]) -> str:
    """Return all lines as one block; between backticks, chats show it as it is."""
    return "\n".join(["```", *map(str, checks), "```"])


def to_paste(checks: list[Check]) -> str:
    """Return the report with what a helper asks next, without your name."""
    settings = [f"{name}={value}" for name, value in os.environ.items() if "WORKSHOP_" in name]
    places = [f"Folder: {home()}", f"Python: {sys.executable}"]
    text = report([*checks, f"Settings: {', '.join(settings)}", *places])
    if name := Path.home().name:  # in some containers it is /
        text = re.sub(rf"(?<=[/\\]){re.escape(name)}(?=[/\\\n])", "…", text)
    text = re.sub("//[^/@ ]+@", "//", text)  # a name and a password in an address
    questions = "Step and cell: (for example step 07, the third code cell)\nWhat I did: \n"
    return f"{text}\n{questions}What I expected: \nLast lines of the error: "


def verdict(checks: list[Check]) -> str:
    """Return one sentence: ready, or what failed."""
    failed = ", ".join(check.name for check in checks if check.status == "FAIL")
    advice = f"Not ready yet: {failed}. Do what the arrows say, then run this again."
    return advice if failed else "Ready: nothing failed."


def main(paste: bool) -> int:
    """Print the report with the verdict, or what to paste; return 1 if something failed."""
    checks = examine()
    print(to_paste(checks) if paste else f"{report(checks)}\n{verdict(checks)}")
    return int(any(check.status == "FAIL" for check in checks))
