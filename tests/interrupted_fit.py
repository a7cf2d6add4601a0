"""Goes on with a run and stops it after an epoch, if any: `python interrupted_fit.py CONFIG RUN_DIR EPOCH`."""

import os
import signal
import sys
from pathlib import Path

import cnntrain
from cnntrain.errors import InterruptedRunError
from cnntrain.training.events import EpochDone, Event


def main(config: str, run_dir: str, last: int) -> int:
    """Fits, and sends SIGTERM to itself after epoch `last`; 0 for never. Gives the exit code."""

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone) and event.row.epoch == last:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        cnntrain.fit(Path(config), run_dir=run_dir, resume=True, on_event=listen)
    except InterruptedRunError as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
