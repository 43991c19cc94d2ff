"""The files around the code: the lock, the README's commands, what may import what."""

import ast
import base64
import re
import shlex
import sys
import sysconfig
import tomllib
import venv
from graphlib import TopologicalSorter
from pathlib import Path

import nbformat
import notebook_rules
import pytest
from benchmarks import HEADER
from benchmarks.rows import ROWS
from conftest import MADE_BY_MAKE, REPOSITORY, run_process
from packaging.requirements import Requirement

from helpers.catalog import data_folder
from workshop.__main__ import _parser

needs_make = pytest.mark.skipif(not MADE_BY_MAKE, reason="set up without make, or the lock")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
LOCK = [
    Requirement(line)
    for line in (REPOSITORY / "requirements.txt").read_text().splitlines()
    if line.strip()
]


def test_the_lock_is_exact_and_fits_the_ranges():
    assert all([clause.operator for clause in one.specifier] == ["=="] for one in LOCK)
    locked = {one.name: next(iter(one.specifier)).version for one in LOCK}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert extras.pop("solar") == ["elpv-dataset==1.0.0.post1"]  # pictures that no test needs
    for line in sum(extras.values(), project["dependencies"]):
        wanted = Requirement(line)
        assert wanted.specifier.contains(locked[wanted.name]), line


def make(*words):
    return run_process(["make", "--no-print-directory", *words]).stdout


@needs_make
def test_make_sets_up_again_when_the_lock_is_newer():
    assert "pip install" in make("--dry-run", "-W", "requirements.txt", "run")
    assert "pip install" not in make("--dry-run", "run")


@needs_make
def test_the_small_install_leaves_the_gpu_packages_out():
    printed = make("--dry-run", "-W", "requirements.txt", "run", "TORCH_INDEX=ADDRESS")
    assert "--extra-index-url ADDRESS -r .venv/requirements-cpu.txt" in printed
    pattern = re.search(r"grep -vE '([^']+)'", printed).group(1)
    left = [one.name for one in LOCK if not re.match(pattern, one.name)]
    assert "torch" in left and not any("nvidia" in name or "cuda" in name for name in left)


def commands():
    """What the pages tell somebody to type: in blocks for a shell, and in a sentence."""
    pages = [README, *(file.read_text("utf-8") for file in REPOSITORY.glob("[Cdn]*/*.md"))]
    pages.append((REPOSITORY / "CONTRIBUTING.md").read_text("utf-8"))
    blocks = re.findall(r"```(?:sh|bat)\n(.*?)```", "\n".join(pages), flags=re.S)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`((?:python -m|make) [^`]+)`", "\n".join(pages))
    return sorted(
        {re.sub(r"^(\w+=\S+ )+", "", line) for line in lines} - {"", "python -m workshop"}
    )


def test_each_command_of_the_pages_exists():
    """The commands themselves run in CI and in other tests; here none may be misspelt."""
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = {*re.findall(r"^(\w+):", makefile, flags=re.M)}
    variables = {*re.findall(r"\$\((?:if \$\()?([A-Z_]+)", makefile)}
    known = ("py -m venv", "conda ", ".venv\\Scripts\\python -m pip install")
    known += ('python -m pip install -e ".[', "python -m pytest")
    known += ("python -m tests.benchmarks", "python -m draw")
    assert len(commands()) > 20
    for command in commands():
        if command.startswith("make "):
            words = {word.partition("=")[0] for word in command.split()[1:]}
            assert words <= targets | variables, command
        elif "-m workshop" in command:
            _parser().parse_args(command.split("-m workshop", 1)[1].split())
        else:
            assert command.startswith(known), command


def test_the_code_in_the_readme_runs(tiny, home):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    data_folder("my_pictures").parent.mkdir()
    tiny.rename(data_folder("my_pictures"))
    names = {}
    exec(code, names)
    assert names["data"].facts.classes == ("0", "1") and names["data"].source == "own"


def test_where_torch_is_already_the_cell_for_colab_leaves_it_alone(tmp_path):
    """A machine with the lowest torch that works, without CUDA; the other packages are there."""
    (cell,) = re.findall(r"```ipython\n(.*?)```", README, flags=re.S)
    clone, install, change, path = cell.splitlines()
    packages = tmp_path / "venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    venv.create(tmp_path / "venv", symlinks=True)
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    for name, version in (("torch", "2.11.0+cpu"), ("torchvision", "0.26.0+cpu")):
        folder = packages / f"{name}-{version}.dist-info"  # what pip knows of it, without it
        folder.mkdir()
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / "METADATA").write_text(about)
    options = "--no-index --no-build-isolation --disable-pip-version-check"
    lines = [
        clone.removeprefix("!").replace(
            "https://github.com/OWNER/NAME", shlex.quote(str(REPOSITORY))
        ),
        install.replace("%pip install -q", f"../venv/bin/python -m pip install {options}"),
        change.removeprefix("%"),
        f"../../../venv/bin/python -c '{path}; import helpers; print(helpers.__file__)'",
    ]
    (tmp_path / "place").mkdir()
    result = run_process(["sh", "-ec", "\n".join(lines)], cwd=tmp_path / "place")
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.splitlines()[-1]).resolve().is_relative_to(tmp_path)
    assert re.search(r"already satisfied: torch<3,>=2\.11 .*\(2\.11\.0\+cpu\)", result.stdout)
    assert "Successfully installed image-classification-workshop" in result.stdout


def test_the_files_that_the_readme_names_are_there():
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (REPOSITORY / name).exists(), name


def test_the_picture_in_the_readme_is_an_output_of_a_notebook():
    alt, name = re.search(r"!\[([^\]]+)\]\(([^)]+\.png)\)", README).groups()
    assert len(alt.split()) >= 5
    (file,) = (REPOSITORY / "notebooks").glob("09*.ipynb")
    outputs = [one for cell in nbformat.read(file, 4).cells for one in cell.get("outputs", [])]
    stored = [one["data"]["image/png"] for one in outputs if "image/png" in one.get("data", {})]
    assert (REPOSITORY / name).read_bytes() in map(base64.b64decode, stored)


def test_the_table_of_times_has_every_row_and_a_verdict():
    table = README.split(" | ".join(HEADER))[1].split("\n\n")[0].split("<!--")[0].splitlines()[2:]
    assert len(table) >= len(ROWS)
    for line in table:
        cells = line.strip("| ").split(" | ")
        assert len(cells) == len(HEADER) and cells[-1].endswith((" met", "missed**"))


def test_the_minutes_of_the_readme_are_those_of_the_notebooks():
    rows = re.findall(r"^\| \[.*\]\(notebooks/(.*)\) \|.*\| (\d+) \|$", README, flags=re.M)
    assert len(rows) == len([*(REPOSITORY / "notebooks").glob("*.ipynb")])
    notebooks = {name: nbformat.read(REPOSITORY / "notebooks" / name, 4) for name, _ in rows}
    for name, minutes in rows:
        assert f"| **Minutes** | {minutes} |" in notebooks[name].cells[0].source, name
    day = notebook_rules.minutes(*(one for name, one in notebooks.items() if name < "10"))
    assert f"steps 01 to 09: {day} minutes" in README


def test_instructors_find_every_step():
    text = (REPOSITORY / "notebooks" / "INSTRUCTOR.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d\d) \| .+ \| .+ \| .+ \|$", text, flags=re.M)
    sections = re.findall(r"^## .*\(step (\d\d)\)$", text, flags=re.M)
    steps = [file.name[:2] for file in (REPOSITORY / "notebooks").glob("*.ipynb")]
    assert sorted(rows + sections) == sorted(steps)


def test_nothing_names_a_machine_or_an_index():
    """A path of somebody's machine, or the host of a package index, helps nobody else."""
    words = r"/root/|/work/|/home/\w|files\.pythonhosted|/simple\b|--index-url http"
    listed = run_process(["git", "ls-files", "-z"]).stdout
    for name in filter(None, listed.split("\0")):
        file = REPOSITORY / name
        known = file.name in ("notebook_rules.py", "test_notebooks.py", "test_project.py")
        if file.suffix in {".py", ".md", ".toml", ".yml", ".txt", ".ipynb", ""} and not known:
            found = file.is_file() and re.search(words, file.read_text(encoding="utf-8"))
            assert not found, (name, found)


def test_rooms_are_small_and_import_in_one_direction():
    graph = {}
    for file in [*(REPOSITORY / "helpers").rglob("*.py"), *(REPOSITORY / "workshop").glob("*.py")]:
        text = file.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, file
        room = file.relative_to(REPOSITORY).with_suffix("").parts[:2]  # checks are one room
        froms = [one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.ImportFrom)]
        for one in froms:
            package, *rest = one.module.split(".")
            for name in rest[:1] or [alias.name for alias in one.names]:
                if package in ("helpers", "workshop") and (package, name) != room:
                    assert (package, room[0]) != ("workshop", "helpers"), file
                    graph.setdefault(room, set()).add((package, name))
    assert len([*TopologicalSorter(graph).static_order()]) > 15  # a circle is an error
