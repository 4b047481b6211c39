"""One page in one process, for the runner.

That is `python -m helpers.editions.run_page`.

Takes its order as a line of JSON on stdin. When the other end of stdin
closes, the runner is gone, and so is this process: no page goes on unseen.
"""

import json
import os
import sys
import threading

START_TIMEOUT = 180


def _follow_parent() -> None:
    """End with the process that holds the other end of stdin."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


def main() -> int:
    """Execute a notebook; 0 when every cell ran.

    The order: {"notebook": its JSON, "output": path, "parameters": {...}}.
    """
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow_parent, daemon=True).start()

    import nbformat
    import papermill

    try:
        papermill.execute_notebook(
            nbformat.reads(order["notebook"], as_version=4),
            order["output"],
            order["parameters"],
            progress_bar=False,
            start_timeout=START_TIMEOUT,
        )
    except papermill.PapermillExecutionError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
