from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import REPOSITORY, run_python

from helpers import __main__, doctor


def test_a_report_is_a_block_to_paste():
    checks = [doctor.Check("OK", "A", "fine"), doctor.Check("FAIL", "B", "bad", "Mend it.")]
    assert doctor.report(checks) == ("```\n[OK]   A: fine\n[FAIL] B: bad\n       -> Mend it.\n```")
    assert doctor.verdict(checks).startswith("Not ready yet: B.")
    assert doctor.verdict(checks[:1]) == "Ready: nothing failed."


def test_a_block_for_asking_help_holds_no_name(home, monkeypatch, capsys):
    monkeypatch.setattr(Path, "home", lambda: Path("/there/ada"))
    monkeypatch.setenv("WORKSHOP_MIRROR", "http://ada:secret@10.0.0.1:8080")
    monkeypatch.setattr("helpers.doctor.home", lambda: Path("/elsewhere/ada/course"))
    monkeypatch.setattr("helpers.doctor.examine", lambda: [doctor.check_python()])
    assert __main__.main(["doctor", "--paste"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("```\n[OK]   Python: ") and printed.count("```") == 2
    assert f"torch {version('torch')}, " in printed
    assert "Settings: WORKSHOP_" in printed and "WORKSHOP_MIRROR=http://10.0.0.1" in printed
    assert "Folder: /elsewhere/…/course" in printed and "/ada/" not in printed
    assert "secret" not in printed
    assert "Step and cell: " in printed


def test_where_home_is_the_root_addresses_stay_whole(home, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    monkeypatch.setattr("helpers.doctor.home", lambda: Path("/elsewhere/course"))
    assert "Folder: /elsewhere/course" in doctor.paste([])


def test_this_machine_is_ready(home):
    checks = doctor.examine()
    assert [check.name for check in checks if check.status == "FAIL"] == []
    assert len({check.name for check in checks}) == len(doctor.CHECKS)


@pytest.mark.parametrize(
    ("check", "advice"),
    [
        (lambda: doctor.check_python((3, 9, 1)), "Install Python 3.11 or newer"),
        (lambda: doctor.check_packages(("numpy", "nothing-like-it")), "requirements.txt"),
        (lambda: doctor.check_memory(1.0), "Use another machine"),
        (lambda: doctor.check_disk(0.1), "Free at least 0.3 GB"),
    ],
)
def test_what_is_too_little_fails(check, advice):
    assert check().status == "FAIL"
    assert advice in check().advice


@pytest.mark.parametrize(
    "check",
    [lambda: doctor.check_memory(3), lambda: doctor.check_disk(1), lambda: doctor.check_cores(1)],
)
def test_what_is_scarce_warns(check):
    assert check().status == "WARN"
    assert check().advice


def doctor_with(code, only):
    """Return the lines of one check in a Python where something is broken."""
    code = f"import sys\n{code}\nfrom helpers import doctor\ndoctor.CHECKS = (doctor.{only},)\n"
    result = run_python(f"{code}print(*doctor.examine())")
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("only", ["check_torch", "check_device", "check_cores"])
def test_a_broken_torch_fails_with_advice(only):
    lines = doctor_with("sys.modules['torch'] = None", only)
    assert lines.startswith("[FAIL]")
    assert "pip install -r requirements.txt" in lines


def test_a_torchvision_of_another_torch_fails(tmp_path):
    (tmp_path / "torchvision.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    lines = doctor_with(f"sys.path.insert(0, {str(tmp_path)!r})", "check_torch")
    assert lines.startswith("[FAIL] PyTorch: torchvision does not fit torch 2.")
    assert "torchvision::nms does not exist" in lines
    assert "torch==2.14.1 torchvision==0.29.1" in lines


def test_the_pair_in_the_advice_is_the_one_in_the_lock():
    lock = (REPOSITORY / "requirements.txt").read_text().splitlines()
    assert {"torch==2.14.1", "torchvision==0.29.1"} <= set(lock)


def test_a_missing_libgl_names_the_way_out(tmp_path):
    (tmp_path / "cv2.py").write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file: No such file')\n"
    )
    lines = doctor_with(f"sys.path.insert(0, {str(tmp_path)!r})", "check_opencv")
    assert lines.startswith("[FAIL] OpenCV: import cv2 fails: ImportError: libGL.so.1")
    assert "opencv-python-headless" in lines


def test_a_missing_opencv_fails():
    lines = doctor_with("sys.modules['cv2'] = None", "check_opencv")
    assert lines.startswith("[FAIL]") and "requirements.txt" in lines


def test_a_folder_that_cannot_be_written_fails(tmp_path):
    (tmp_path / "home").write_text("a file where a folder should be")
    check = doctor.check_writable(tmp_path / "home")
    assert check.status == "FAIL"
    assert "WORKSHOP_HOME" in check.advice


def test_missing_widgets_and_workers_warn(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    assert doctor.check_widgets().status == "WARN"
    monkeypatch.undo()
    assert doctor.check_workers(seconds=0.001).status == "WARN"  # no worker is that fast


@pytest.mark.slow
def test_the_command_line_prints_the_same_and_tells_by_its_exit_code(home):
    good = run_python("import helpers.__main__ as m, sys; sys.exit(m.main(['doctor']))")
    assert good.returncode == 0 and good.stdout.startswith("```\n[OK]")
    assert good.stdout.endswith("Ready: nothing failed.\n")
    code = "import sys; sys.modules['cv2'] = None\nimport helpers.__main__ as m\n"
    bad = run_python(code + "sys.exit(m.main(['doctor']))")
    assert bad.returncode == 1 and "Not ready yet: " in bad.stdout


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def check_moon():
        raise ModuleNotFoundError("No module named 'psutil'")

    monkeypatch.setattr(doctor, "CHECKS", (check_moon,))
    (check,) = doctor.examine()
    assert check.status == "FAIL" and check.name == "Moon" and "psutil" in check.found


def test_a_gpu_that_does_not_work_fails(monkeypatch):
    import torch

    # a device that this build of torch does not have
    monkeypatch.setattr("helpers.training.best_device", lambda: torch.device("xpu"))
    check = doctor.check_device()
    assert check.status == "FAIL" and "xpu fails" in check.found


def test_a_home_that_cannot_be_is_explained(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for wanted in (str(tmp_path / "file"), "~nobody-has-this-name/x"):
        monkeypatch.setenv("WORKSHOP_HOME", wanted)
        with pytest.raises(ValueError, match="Expected a folder; set it to one"):
            doctor.home()
    monkeypatch.setenv("WORKSHOP_HOME", "mine")
    assert doctor.home() == REPOSITORY / "mine"  # wherever a notebook's kernel was started


def test_weights_are_found_where_they_are_put(home):
    assert doctor.check_weights().found == "no pretrained weights (none are needed)"
    (home / "data" / "weights").mkdir(parents=True)
    (home / "data" / "weights" / "vgg16-397923af.pth").touch()
    assert doctor.check_weights().found == "vgg16-397923af"


def test_it_says_which_data_is_here(home):
    assert "none yet" in doctor.check_data().found
    (home / "data" / "aoi" / "sample-1").mkdir(parents=True)
    assert doctor.check_data().found == "the drawn sample"
    (home / "data" / "aoi" / "real").mkdir()
    (home / "data" / "aoi" / "real" / "train.csv").touch()
    assert doctor.check_data().found == "the drawn sample"  # half of the real data set is none
    (home / "data" / "aoi" / "real" / "train_images").mkdir()
    assert doctor.check_data().found == "the real data set"
