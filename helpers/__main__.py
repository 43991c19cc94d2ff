"""The command line: python -m helpers doctor | run | execute | samples | lab | test | clean."""

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
    commands.add_parser("doctor", help="look at this machine and say what is missing")
    run = commands.add_parser("run", help="execute the notebooks in order into build/")
    run.add_argument("--only", metavar="NN", help="one step, for example 03")
    run.add_argument("--data", choices=("sample", "real"), help="which data to use")
    execute = commands.add_parser("execute", help="authors: store new outputs in notebooks/")
    execute.add_argument("--only", metavar="NN", help="one step, for example 03")
    commands.add_parser("samples", help="draw the sample data sets now, not at their first use")
    commands.add_parser("lab", help="open JupyterLab on your own copy of the notebooks")
    commands.add_parser("test", help="run every check that CI runs")
    commands.add_parser("clean", help="remove build/, runs/, samples and caches")
    options = parser.parse_args(arguments)
    try:
        return _call(options)
    except (OSError, ValueError, KeyError) as error:
        print(error.args[0] if isinstance(error, KeyError) else error, file=sys.stderr)
        return 1


def _call(options: argparse.Namespace) -> int:
    """Import the room that the command needs, and only that, and call it."""
    if options.command == "doctor":
        from helpers import doctor

        checks = doctor.examine()
        print(doctor.report(checks))
        print(doctor.verdict(checks))
        return int(any(check.status == "FAIL" for check in checks))
    if options.command == "samples":
        from helpers.catalog import DATA_SETS
        from helpers.samples import sample_folder

        for facts in DATA_SETS.values():
            print(f"{facts.title}: {sample_folder(facts)}")
        return 0
    from helpers import workbook

    if options.command == "run":
        return workbook.run(options.only, options.data)
    if options.command == "execute":
        workbook.save(options.only)
        return 0
    if options.command == "clean":
        workbook.clean()
        return 0
    return {"lab": workbook.lab, "test": workbook.test}[options.command]()


if __name__ == "__main__":
    sys.exit(main())
