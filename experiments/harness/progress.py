"""Progress of long loops: a bar on a terminal, plain lines in a log."""

import sys

from tqdm import tqdm


class Progress:
    """Counts finished pieces of work and says what each of them gave."""

    def __init__(self, total: int, label: str):
        self._bar = tqdm(total=total, desc=label, disable=None, file=sys.stderr)
        self._total = total
        self._label = label
        self._done = 0

    def advance(self, message: str) -> None:
        self._done += 1
        if self._bar.disable:
            line = f"{self._label}: {self._done}/{self._total} {message}"
            print(line, file=sys.stderr, flush=True)
        else:
            self._bar.set_postfix_str(message)
            self._bar.update()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()
