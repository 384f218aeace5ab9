"""Run a training script, and exit without the end of the interpreter: `leaving.py SCRIPT WORD...`.

While the interpreter shuts down, a thread of gloo that frees a tensor of Python's aborts the
process ("terminate called without an active exception", about one launch in eighty). The training
is over by then. A job script reads that in the marker; a test that launches without one sees only
the exit code.
"""

import atexit
import os
import sys
import threading
import types
from pathlib import Path


def run_script(argv):
    """Run a script like `python SCRIPT WORD...`, and return its exit code."""
    sys.argv = list(argv)
    sys.path[0] = str(Path(argv[0]).resolve().parent)
    main = types.ModuleType("__main__")
    main.__file__ = os.path.abspath(argv[0])  # noqa: PTH100 - links stay, as in Python itself
    sys.modules["__main__"] = main
    try:
        exec(compile(Path(argv[0]).read_bytes(), main.__file__, "exec"), main.__dict__)  # noqa: S102
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001 - as the interpreter does, which remembers it for whom it may concern
        error = error.with_traceback(error.__traceback__.tb_next)  # without this file's line
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
        sys.last_exc = error
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def leave(code):
    """End this process like Python, but without the interpreter's own end."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(run_script(sys.argv[1:]))
