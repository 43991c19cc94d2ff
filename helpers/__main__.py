"""The command line: python -m helpers COMMAND; each command imports only what it needs."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name


def main(arguments: list[str] | None = None) -> int:
    """Call what the command line (or `arguments`) names, and return the exit code."""
    words = vars(_parser().parse_args(arguments))
    calls = words.pop("calls")
    if hasattr(sys.stdout, "reconfigure"):  # a Windows pipe may not know every letter of a path
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        calls = resolve_name(f"helpers.{calls}") if isinstance(calls, str) else calls
        return calls(**words) or 0
    except (OSError, ValueError, KeyError, ImportError) as error:
        print(_sentence(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    """Return what knows each command, its arguments, and the function that takes them."""
    parser = argparse.ArgumentParser(prog="python -m helpers", description="The workshop's tools.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, calls: str | Callable, does: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=does)
        command.set_defaults(calls=calls)
        return command

    doctor = add("doctor", _doctor, "look at this machine and say what is missing")
    doctor.add_argument("--paste", action="store_true", help="with more, to ask for help with")
    run = add("run", "workbook:run", "execute the notebooks in order into build/")
    run.add_argument("--data", choices=("sample", "real"), help="which data to use")
    execute = add("execute", "workbook:save", "authors: store new outputs in notebooks/")
    add("samples", _samples, "draw the sample data sets now, not at their first use")
    data = add("data", _data, "get a real data set or weights; alone: what is here")
    data.add_argument("name", nargs="?", metavar="NAME", help="for example cifar10 or vgg16")
    data.add_argument("--from", dest="source", metavar="DIR", help="a folder or USB stick")
    mirror = add("mirror", _mirror, "instructors: serve a folder's archives to the room")
    mirror.add_argument("folder", metavar="DIR", help="with the archives and SHA256SUMS")
    mirror.add_argument("--bind", default="", metavar="ADDRESS", help="instead of all networks")
    mirror.add_argument("--port", type=int, default=8080, metavar="N")
    mirror.add_argument("--write-sums", action="store_true", help="write SHA256SUMS first")
    learner = add("learner", _learner, "cut or renew your own copies of the notebooks")
    learner.add_argument("folder", nargs="?", metavar="DIR", help="instead of workbook/")
    learner.add_argument("--fresh", action="store_true", help="renew changed ones; keep the old")
    lab = add("lab", "lab:lab", "open JupyterLab on your own copy of the notebooks")
    lab.add_argument("--present", action="store_true", help="the complete ones, with slides")
    add("site", _site, "build the complete notebooks as a static site")
    test = add("test", "verify:test", "run every check that CI runs")
    predict = add("predict", "predictor:report", "ask a trained network about pictures")
    predict.add_argument("pictures", nargs="+", metavar="PICTURE")
    app = add("app", "app:serve", "put a trained network on a web page of this machine")
    add("clean", "workbook:clean", "remove build/, runs/, samples and caches")
    for command in (run, execute):
        command.add_argument("--only", metavar="NN", help="one step, for example 03")
    for command in (predict, app):
        command.add_argument("--run", default="runs/aoi/lenet", help="runs/aoi/lenet if not given")
    for command, without in ((lab, "a browser"), (test, "what needs Chromium")):
        command.add_argument(
            "--no-browser", dest="browser", action="store_false", help=f"without {without}"
        )
    return parser


def _doctor(paste: bool) -> int:
    """Print a report with its verdict, or what to paste."""
    from helpers import doctor

    checks = doctor.examine()
    print(doctor.paste(checks) if paste else f"{doctor.report(checks)}\n{doctor.verdict(checks)}")
    return int(any(check.status == "FAIL" for check in checks))


def _samples() -> None:
    """Draw every sample."""
    from helpers.catalog import DATA_SETS
    from helpers.samples import sample_folder

    for facts in DATA_SETS.values():
        print(f"{facts.title}: {sample_folder(facts)}")


def _data(name: str | None, source: str | None) -> int:
    """Fetch what is named, or all that a folder offers; show the table where nothing is named."""
    if name is None and source is None:
        from helpers.inventory import table

        print(table())
        return 0
    from helpers.fetch import fetch, offered

    names = [name] if name else offered(source)
    for one in names:
        fetch(one, source)
    if not names:
        print(f"{source} holds no file that this workshop knows.", file=sys.stderr)
    return int(not names)


def _mirror(folder: str, bind: str, port: int, write_sums: bool) -> None:
    """Serve a folder."""
    from helpers import mirror

    if write_sums:
        print(f"Written: {mirror.write_sums(folder)}")
    mirror.serve(folder, bind, port)


def _learner(folder: str | None, fresh: bool) -> None:
    """Cut the copies."""
    from helpers import learner, workbook

    place = Path(folder or workbook.home() / "workbook")
    print(learner.told(learner.learner(workbook.notebook_files(), place, fresh)))


def _site() -> None:
    """Build the site."""
    from helpers.pages import site

    print(f"Open {site()}. It needs no network.")


def _sentence(error: Exception) -> str:
    """Return what an error says, without the decoration that str() adds for some kinds."""
    if isinstance(error, ImportError):
        from helpers.doctor import INSTALL

        return f"{error}. {INSTALL}."
    if isinstance(error, KeyError):
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror and not error.filename:
        return error.strerror
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
