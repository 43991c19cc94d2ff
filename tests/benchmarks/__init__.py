"""How fast the workshop is, against the courses as written and against the limits of the machine.

Run `python -m tests.benchmarks`. Each row does the same work twice, the course's way (`courses`)
and with the helpers that the notebooks use, in turn.
"""
