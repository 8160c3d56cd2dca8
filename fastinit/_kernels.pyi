"""The types of the extension module."""

from typing import Any

KINDS: dict[tuple[str, str], int]
MAX_THREADS: int
THREAD_ELEMENTS: int
COMPILER: str
BUILT_ISAS: tuple[str, ...]
AVAILABLE_ISAS: tuple[str, ...]

def choose(isa: str) -> None: ...
def chosen_isa() -> str: ...
def fill(
    out: Any,
    kind: int,
    parameters: tuple[float, ...],
    seed: int,
    stream: int,
    start: int,
    threads: int,
    isa: str | None = None,
    steps: tuple[int, ...] | None = None,
) -> None: ...
def prefer_huge_pages(out: Any) -> None: ...
def words(seed: int, stream: int, block: int, tiles: int = 1, isa: str | None = None) -> bytearray: ...

class default_float_environment:
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...
