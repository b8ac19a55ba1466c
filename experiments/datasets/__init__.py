"""Recorded series that the experiments use as inputs.

The watch recordings and the digits are read from files that installed packages carry, so they need
no network. EigenWorms is read from a folder that the user names. A loader checks what it reads
before it believes it.
"""

from .dataset import DatasetError as DatasetError
from .ts import read_ts as read_ts
