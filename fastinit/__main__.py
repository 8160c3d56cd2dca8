"""The command line."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import NoReturn

from . import _catalog, checkpoint
from .recipes import MODELS, RECIPES, load_manifest, load_recipe


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are raised, so that they are told in one line like any other."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: 0, 1 when nobody reads the output, 2 on an error, 130 on Ctrl-C."""
    try:
        arguments = _parser().parse_args(argv)
        arguments.run(arguments)
        sys.stdout.flush()
    except (TypeError, ValueError) as error:
        return _fail(str(error))
    except OSError as error:
        _drop_output()
        if isinstance(error, BrokenPipeError):  # whoever read the output went away, as `head` does
            return 1
        return _fail(f"{error.strerror}: {error.filename}" if error.filename else error.strerror or str(error))
    except KeyboardInterrupt:
        print("fastinit: interrupted", file=sys.stderr)
        return 130
    return 0


def _drop_output() -> None:
    """Forget output that cannot be written: the interpreter would try again at its end, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    print(f"fastinit: error: {message}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastinit", description="Draw the weights of whole models.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"fastinit {version('fastinit')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    init = commands.add_parser(
        "init",
        help="draw a model's weights into a .safetensors file",
        description="Draw a model's weights into a .safetensors file and tell what was drawn.",
        allow_abbrev=False,
    )
    init.add_argument("model", metavar="MODEL", help=f"{', '.join(MODELS)}, or the path of a manifest (JSON)")
    init.add_argument(
        "--recipe",
        metavar="RECIPE",
        help=f"{', '.join(RECIPES)}, or the path of a recipe (JSON); a shipped model has its own",
    )
    init.add_argument("-o", "--output", metavar="FILE", required=True, help="the .safetensors file to write")
    init.add_argument("--seed", type=int, metavar="N", help="an integer in [0, 2^64); drawn and printed by default")
    init.add_argument(
        "--dtype", metavar="DTYPE", help="float32, float64, float16 or bfloat16, instead of the manifest's dtypes"
    )
    init.add_argument("--threads", type=int, metavar="N", help="the most threads to use; by default all processors")
    init.add_argument("--quiet", action="store_true", help="print nothing, but for a seed that was drawn")
    init.set_defaults(run=_initialize)
    strategies = commands.add_parser(
        "strategies",
        help="print what can be drawn",
        description="Print a table, in Markdown, of what can be drawn: each strategy's names, what it draws, its "
        "parameters, its paper, and what other libraries call it.",
        allow_abbrev=False,
    )
    strategies.set_defaults(run=_print_strategies)
    return parser


def _initialize(arguments: argparse.Namespace) -> None:
    if not arguments.quiet:
        _require_rich()
    manifest = load_manifest(arguments.model)
    name = arguments.recipe or MODELS.get(arguments.model)
    if name is None:
        raise ValueError(
            f"--recipe must be one of {', '.join(RECIPES)}, or the path of a file, where MODEL is a manifest; got none"
        )
    recipe = load_recipe(name)
    with _progress(arguments.quiet) as progress:
        report = checkpoint.save(
            arguments.output,
            manifest,
            recipe,
            seed=arguments.seed,
            dtype=arguments.dtype,
            threads=arguments.threads,
            progress=progress,
        )
    if not arguments.quiet:
        _print_table(report)
        rate = report.nbytes / report.seconds / 1e9
        print(f"{report.parameters:,} parameters in {report.seconds:.2f} s ({rate:.2f} GB/s): {arguments.output}")
    if not arguments.quiet or arguments.seed is None:
        print(f"seed {report.seed}")


def _print_strategies(arguments: argparse.Namespace) -> None:
    print(_catalog.markdown(), end="")


def _require_rich() -> None:
    try:
        import rich  # noqa: F401
    except ImportError:
        raise ValueError('rich must be installed for tables and progress: pip install "fastinit[cli]"') from None


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on the terminal and the function that moves it, or None where there is no one to see it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_table(report: checkpoint.Report) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a tensor may have any name, whatever the encoding
    table = Table(box=box.SIMPLE)
    for header in ("tensor", "shape", "initialization"):
        table.add_column(header, overflow="fold")
    for header in ("std asked for", "std measured"):
        table.add_column(header, justify="right", overflow="fold")
    for tensor in report.tensors:
        stds = ("-" if std is None else f"{std:.6g}" for std in (tensor.std, tensor.measured_std))
        # Text, for a plain string would have its brackets read as markup.
        table.add_row(*map(Text, (tensor.name, str(tensor.shape), tensor.initialization, *stds)))
    console = Console()
    if not sys.stdout.isatty():
        # Whoever reads a file or a pipe wants whole rows.
        console.width = console.measure(table, options=console.options.update(width=sys.maxsize)).maximum
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
