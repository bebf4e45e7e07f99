"""How many threads NumPy's matrix library may use, without another dependency.

NumPy's wheels bundle OpenBLAS, which reads `OPENBLAS_NUM_THREADS` when it is loaded and can be
told later through a C function. Other builds (Accelerate, MKL) keep their own settings.

One thread is the embedded engine's choice when nobody chose: the products of a small model are so
short that a second core gains little below 16 threads of reasoning, and where other processes want
the cores too, OpenBLAS's threads wait for each other and a step may take 20 times as long.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


def set_threads(count: int) -> bool:
    """Let OpenBLAS use ``count`` threads, in the whole process. False: there is no OpenBLAS."""
    package = Path(np.__file__).parent
    folders = (package.with_name("numpy.libs"), package / ".dylibs")
    for path in (p for folder in folders for p in sorted(folder.glob("*openblas*"))):
        library = ctypes.CDLL(str(path))
        for name in _SETTERS:
            if hasattr(library, name):
                getattr(library, name)(ctypes.c_int(count))
                return True
    return False
