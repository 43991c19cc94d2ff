"""The files around the code: the lock, the environments, the README's commands."""

import base64
import re
import subprocess
import tomllib
from importlib.metadata import version

import nbformat
import pytest
import yaml
from conftest import MADE_BY_MAKE, REPOSITORY, run_python
from packaging.requirements import Requirement

from helpers import __main__

needs_make = pytest.mark.skipif(not MADE_BY_MAKE, reason="set up without make, or the lock")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LOCK = [
    Requirement(line)
    for line in (REPOSITORY / "requirements.txt").read_text().splitlines()
    if line.strip()
]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def tracked():
    listed = subprocess.run(
        ["git", "ls-files"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    return [REPOSITORY / name for name in listed.stdout.splitlines()]


def test_the_lock_is_exact():
    assert len(LOCK) > 100
    assert all([clause.operator for clause in one.specifier] == ["=="] for one in LOCK)
    assert {"torch==2.14.1", "torchvision==0.29.1"} <= {str(one) for one in LOCK}


def test_the_lock_fits_the_ranges():
    locked = {one.name: next(iter(one.specifier)).version for one in LOCK}
    extras = PROJECT["optional-dependencies"]
    assert {"dev", "site"} <= set(extras)
    for requirement in map(Requirement, sum(extras.values(), PROJECT["dependencies"])):
        assert requirement.specifier.contains(locked[requirement.name]), requirement


@needs_make
def test_what_is_installed_is_what_is_locked():
    for one in LOCK:
        if one.marker is None or one.marker.evaluate():
            found = version(one.name).split("+")[0]
            assert one.specifier.contains(found), f"{one}, installed is {found}"


def test_the_conda_environment_is_python_and_the_lock():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    python, pip, rest = environment["dependencies"]
    assert python == "python=3.11" and pip == "pip"
    assert rest == {"pip": ["-r requirements.txt", "-e ."]}


def test_the_workflow_runs_only_commands_that_run_here():
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "checks.yml").read_text())
    commands = {
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    }
    assert commands == {
        "make run PYTHON=python",
        "make test PYTHON=python",
        "python -m pip install -e .[dev,site,track,app,scale]",
        "python -m helpers run",
        "python -m helpers test",
    }
    matrix = workflow["jobs"]["locked"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"] and len(matrix["os"]) == 3


def test_the_hooks_are_local():
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] == "system"


def make(*words):
    return subprocess.run(
        ["make", "--dry-run", *words], cwd=REPOSITORY, capture_output=True, text=True
    )


@needs_make
def test_make_alone_lists_the_targets():
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout
    assert re.findall(r"^\w+", listed, flags=re.M) == [
        *("help", "setup", "run"),
        *("test", "lab", "site", "clean"),
    ]


@needs_make
def test_the_makefile_sets_up_again_when_the_lock_is_newer():
    assert "pip install" in make("-W", "requirements.txt", "run").stdout
    assert "pip install" not in make("run").stdout


@needs_make
def test_the_small_install_leaves_the_gpu_packages_out():
    printed = make("-W", "requirements.txt", "run", "TORCH_INDEX=ADDRESS").stdout
    assert "--extra-index-url ADDRESS -r .venv/requirements-cpu.txt" in printed
    pattern = re.search(r"grep -vE '([^']+)'", printed).group(1)
    left = [one.name for one in LOCK if not re.match(pattern, one.name)]
    assert "torch" in left and not any("nvidia" in name or "cuda" in name for name in left)


def commands_in_readme():
    blocks = re.findall(r"```(?:sh|bat)\n(.*?)```", README, flags=re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


@pytest.mark.parametrize("command", commands_in_readme())
def test_each_command_of_the_readme_exists(command):
    """The commands themselves run in CI and in other tests; here none may be misspelt."""
    command = re.sub(r"^(\w+=\S+ )+", "", command)
    if command.startswith("make"):
        if not MADE_BY_MAKE:
            pytest.skip("set up without make")
        assert make(*command.split()[1:]).returncode == 0, command
    elif "-m helpers" in command:
        words = command.split("-m helpers", 1)[1].split()
        with pytest.raises(SystemExit) as stopped:
            __main__.main([words[0], "--help"])
        assert stopped.value.code == 0
    else:
        known = ("git clone", "cd ", "py -m venv", "conda ", ".venv\\Scripts\\", "export ", "set ")
        assert command.startswith(known), command


def test_the_code_in_the_readme_runs(tiny, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    (tiny / "train.csv").rename(tiny / "my.csv")
    (tiny / "train_images").rename(tiny / "my_pictures")
    monkeypatch.chdir(tiny)
    names = {}
    exec(code, names)
    assert names["pictures"].images.shape == (12, 3, 128, 128)


def test_the_files_that_the_readme_names_are_there():
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (REPOSITORY / name).exists(), name


def test_the_picture_in_the_readme_is_an_output_of_a_notebook():
    (alt, name) = re.search(r"!\[([^\]]+)\]\(([^)]+\.png)\)", README).groups()
    assert len(alt.split()) >= 5
    stored = [
        base64.b64decode(output["data"]["image/png"])
        for file in (REPOSITORY / "notebooks").glob("09*.ipynb")
        for cell in nbformat.read(file, as_version=4).cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert (REPOSITORY / name).read_bytes() in stored


def test_nothing_names_a_machine_or_an_index():
    """A path of somebody's machine, or the host of a package index, helps nobody else."""
    words = re.compile(r"/root/|/work/|/home/\w|files\.pythonhosted|/simple\b|--index-url http")
    this = "test_project.py"
    for file in tracked():
        if file.is_file() and file.suffix not in {".png", ".safetensors"} and file.name != this:
            found = words.search(file.read_text(encoding="utf-8"))
            assert not found or file.name in {"notebook_rules.py", "test_notebooks.py"}, (
                file,
                found,
            )


def test_rooms_are_small_and_import_downwards():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = re.search(r"Imports go down this list only: ([^.]+)\.", text).group(1)
    order = re.findall(r"`(\w+)`", listed)
    rooms = {path.stem for path in (REPOSITORY / "helpers").iterdir() if path.name[:2] != "__"}
    assert sorted(order) == sorted(rooms | {"__main__"})
    for file in (REPOSITORY / "helpers").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 360, file
        folder = file.parent.name  # samples and checks are rooms of several files
        room = file.stem if folder == "helpers" else folder
        if room != "__init__":
            imported = re.findall(r"^from helpers\.(\w+)|^from helpers import (\w+)", text, re.M)
            for name in (a or b for a, b in imported):
                assert order.index(name) > order.index(room) or name == room, (room, name)


def test_helpers_are_imported_without_what_they_may_not_need():
    draws = {"plots"}
    reads_with_torchvision = {"archives", "features", "transfer"}
    on_these = {"pretrain", "parallel", "predictor", "app"}
    others = draws | reads_with_torchvision | on_these | {"__init__", "__main__", "startup"}
    files = (REPOSITORY / "helpers").glob("*.py")
    rooms = sorted(f"helpers.{file.stem}" for file in files if file.stem not in others)
    code = (
        f"import sys, {', '.join(rooms)}\n"
        "print([m for m in ('matplotlib', 'pandas', 'torchvision', 'IPython') if m in sys.modules])"
    )
    result = run_python(code)
    assert result.stdout == "[]\n", result.stderr


def test_a_notebook_does_not_wait_for_what_reads_notebooks():
    code = (
        "import sys, helpers.checks, helpers.missing, helpers.recipes\n"
        "print([m for m in ('nbformat', 'jsonschema', 'nbclient') if m in sys.modules])"
    )
    result = run_python(code)
    assert result.stdout == "[]\n", result.stderr


def test_torchvision_and_matplotlib_do_not_bring_each_other():
    code = (
        "import sys, helpers.pretrain, helpers.transfer, helpers.features, helpers.archives\n"
        "print([m for m in ('matplotlib', 'pandas', 'IPython') if m in sys.modules])\n"
        "print('torchvision' in sys.modules)"
    )
    result = run_python(code)
    assert result.stdout == "[]\nTrue\n", result.stderr


def test_the_minutes_of_the_readme_are_those_of_the_notebooks():
    minutes = {}
    for file in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        header = nbformat.read(file, as_version=4).cells[0].source
        minutes[file.name] = int(re.search(r"\*\*Minutes\*\* \| (\d+)", header).group(1))
    rows = re.findall(r"^\| \[.*\]\(notebooks/(.*)\) \|.*\| (\d+) \|$", README, flags=re.M)
    assert {name: int(number) for name, number in rows} == minutes
    half = sum(number for name, number in minutes.items() if name < "10")
    assert f"steps 01 to 09: {half} minutes" in README
    full = sum(number for name, number in minutes.items() if name < "13")
    assert re.search(rf"all twelve: {full}\s+minutes", README)
