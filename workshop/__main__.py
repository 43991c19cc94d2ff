"""The command line: python -m workshop COMMAND; each command imports only what it needs."""

import argparse
import sys
from pathlib import Path
from pkgutil import resolve_name


def main(arguments: list[str] | None = None) -> int:
    """Call what the command line (or `arguments`) names, and return the exit code."""
    words = vars(_parser().parse_args(arguments))
    try:
        return resolve_name(f"workshop.{words.pop('calls')}")(**words) or 0
    except ImportError as error:
        print(f"{error}. `python -m workshop doctor` says what to install.", file=sys.stderr)
    except (OSError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    """Return what knows each command, its arguments, and the function that takes them."""
    parser = argparse.ArgumentParser(prog="python -m workshop", description="Runs the workshop.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, calls: str, does: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=does)
        command.set_defaults(calls=calls)
        return command

    doctor = add("doctor", "doctor:main", "look at this machine and say what is missing")
    doctor.add_argument("--paste", action="store_true", help="with more, to ask for help with")
    run = add("run", "notebooks:run", "execute the notebooks into build/")
    run.add_argument("--data", choices=("sample", "real"), help="which data to use")
    test = add("test", "notebooks:test", "run every check that CI runs")
    lab = add("lab", "room:lab", "open JupyterLab on your own copy of the notebooks")
    lab.add_argument("--present", action="store_true", help="the complete ones, with slides")
    learner = add("learner", "room:learner", "cut or renew your own copies of the notebooks")
    learner.add_argument("--fresh", action="store_true", help="renew changed ones; keep the old")
    add("samples", "fetch:samples", "prepare the sample data sets now, not at their first use")
    data = add("data", "fetch:data", "get a real data set or weights; alone: what is here")
    data.add_argument("name", nargs="?", metavar="NAME", help="for example cifar10; or my_pictures")
    data.add_argument("--from", dest="source", type=Path, metavar="DIR", help="or a zip")
    mirror = add("mirror", "mirror:serve", "instructors: serve a folder's archives to the room")
    mirror.add_argument("folder", type=Path, metavar="DIR")
    mirror.add_argument("--port", type=int, default=8080, metavar="N")
    predict = add("predict", "teach:predict", "ask a trained network about pictures")
    predict.add_argument("pictures", nargs="+", metavar="PICTURE")
    app = add("app", "teach:app", "put a trained network on a web page of this machine")
    add("site", "notebooks:site", "build the complete notebooks as a static site")
    execute = add("execute", "notebooks:save", "authors: store new outputs in notebooks/")
    add("clean", "notebooks:clean", "remove build/, runs/, samples and caches")
    for command in (run, execute):
        command.add_argument("--only", metavar="NN", help="one step, for example 03")
    for command in (predict, app):
        command.add_argument("--run", default="runs/aoi/lenet", help="runs/aoi/lenet if not given")
    for command in (lab, test):
        command.add_argument("--no-browser", dest="browser", action="store_false")
    return parser


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # a Windows pipe may not know every letter
    sys.exit(main())
