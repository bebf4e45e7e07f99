"""Generated input for protocol machines, transcript readers, checkers: `python -m tests.fuzz`.

    grammar.py    text that looks like a format: its tags, whole and broken, numbers, blanks, noise
    targets.py    what is fed, and what must hold of it
    __main__.py   the command: so many inputs a target, a table, the first failure reproducible
"""
