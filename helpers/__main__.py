"""The command line: python -m helpers COMMAND; each command imports only what it needs."""

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and call what it names.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of those on the command line.

    Returns
    -------
    int
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m helpers", description="The workshop's tools.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    doctor = commands.add_parser("doctor", help="look at this machine and say what is missing")
    doctor.add_argument("--paste", action="store_true", help="with more, to ask for help with")
    run = commands.add_parser("run", help="execute the notebooks in order into build/")
    run.add_argument("--only", metavar="NN", help="one step, for example 03")
    run.add_argument("--data", choices=("sample", "real"), help="which data to use")
    execute = commands.add_parser("execute", help="authors: store new outputs in notebooks/")
    execute.add_argument("--only", metavar="NN", help="one step, for example 03")
    commands.add_parser("samples", help="draw the sample data sets now, not at their first use")
    data = commands.add_parser("data", help="get a real data set or weights; alone: what is here")
    data.add_argument("name", nargs="?", metavar="NAME", help="for example cifar10 or vgg16")
    data.add_argument("--from", dest="source", metavar="DIR", help="a folder or USB stick")
    mirror = commands.add_parser(
        "mirror", help="instructors: serve a folder's archives to the room"
    )
    mirror.add_argument("folder", metavar="DIR", help="with the archives and SHA256SUMS")
    mirror.add_argument("--bind", default="", metavar="ADDRESS", help="instead of all networks")
    mirror.add_argument("--port", type=int, default=8080, metavar="N")
    mirror.add_argument("--write-sums", action="store_true", help="write SHA256SUMS first")
    learner = commands.add_parser("learner", help="cut or renew your own copies of the notebooks")
    learner.add_argument("folder", nargs="?", metavar="DIR", help="instead of workbook/")
    learner.add_argument("--fresh", action="store_true", help="renew changed ones; keep the old")
    lab = commands.add_parser("lab", help="open JupyterLab on your own copy of the notebooks")
    lab.add_argument("--present", action="store_true", help="the complete ones, with slides")
    lab.add_argument("--no-browser", action="store_true", help="only print the address")
    commands.add_parser("site", help="build the complete notebooks as a static site")
    test = commands.add_parser("test", help="run every check that CI runs")
    test.add_argument("--no-browser", action="store_true", help="leave out what needs Chromium")
    predict = commands.add_parser("predict", help="ask a trained network about pictures")
    predict.add_argument("pictures", nargs="+", metavar="PICTURE")
    app = commands.add_parser("app", help="put a trained network on a web page of this machine")
    app.add_argument("--port", type=int, metavar="N", help="instead of the first free from 7860")
    app.add_argument("--no-browser", action="store_true", help="only print the address")
    for command in (predict, app):
        command.add_argument("--run", metavar="RUN", help="such as runs/aoi/lenet, the default")
    commands.add_parser("clean", help="remove build/, runs/, samples and caches")
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):  # a Windows pipe may not know every letter of a path
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _call(options)
    except (OSError, ValueError, KeyError) as error:
        print(_sentence(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


def _call(options: argparse.Namespace) -> int:
    """Import the room that the command needs, and only that, and call it."""
    if options.command == "doctor":
        from helpers import doctor

        checks = doctor.examine()
        print(doctor.paste(checks) if options.paste else doctor.report(checks))
        if not options.paste:
            print(doctor.verdict(checks))
        return int(any(check.status == "FAIL" for check in checks))
    if options.command == "samples":
        from helpers.catalog import DATA_SETS
        from helpers.samples import sample_folder

        for facts in DATA_SETS.values():
            print(f"{facts.title}: {sample_folder(facts)}")
        return 0
    if options.command == "data":
        return _data(options)
    if options.command == "mirror":
        from helpers import mirror

        if options.write_sums:
            print(f"Written: {mirror.write_sums(options.folder)}")
        mirror.serve(options.folder, options.bind, options.port)
        return 0
    if options.command == "lab":
        from helpers.lab import lab

        return lab(options.present, not options.no_browser)
    if options.command == "site":
        from helpers.pages import site

        print(f"Open {site()}. It needs no network.")
        return 0
    if options.command == "predict":
        from helpers.predictor import report

        return report(options.run, options.pictures)
    if options.command == "app":
        from helpers.app import serve

        return serve(options.run, options.port, not options.no_browser)
    from helpers import workbook

    if options.command == "learner":
        from helpers.learner import learner, told

        folder = options.folder or workbook.home() / "workbook"
        print(told(learner(workbook.notebook_files(), folder, options.fresh)))
        return 0
    if options.command == "run":
        return workbook.run(options.only, options.data)
    if options.command == "execute":
        workbook.save(options.only)
        return 0
    if options.command == "clean":
        workbook.clean()
        return 0
    from helpers import verify

    return verify.test(not options.no_browser)


def _sentence(error: Exception) -> str:
    """Return what an error says, without the decoration that str() adds for some kinds."""
    if isinstance(error, KeyError):
        return str(error.args[0])
    if isinstance(error, OSError) and error.strerror and not error.filename:
        return error.strerror
    return str(error)


def _data(options: argparse.Namespace) -> int:
    """Fetch what is named, or all that a folder offers; show the table where nothing is named."""
    if options.name is None and options.source is None:
        from helpers.inventory import table

        print(table())
        return 0
    from helpers.fetch import fetch, offered

    names = [options.name] if options.name else offered(options.source)
    if not names:
        print(f"{options.source} holds no file that this workshop knows.", file=sys.stderr)
        return 1
    for name in names:
        fetch(name, options.source)
    return 0


if __name__ == "__main__":
    sys.exit(main())
