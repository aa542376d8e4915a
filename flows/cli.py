"""The command line: which commands there are, and how every error leaves the process.

Results go to standard output, everything else to standard error. Nothing heavy is imported here; each
command imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import platform
import sys
import traceback
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

from flows.cli_support.help import GROUPS, GroupedCommands, SingleUseCommand
from flows.cli_support.streams import cut_off, flush_output, is_unread, prepare_streams
from tasks.core.errors import ImagenError, InputError
from tasks.core.safe_text import escape_lines
from tasks.core.text import TO_UTF_8, locate_byte

# A failure of ours may have happened anywhere: what is in the ledger goes on with `imagen resume`, hence 3 and not 1.
INTERNAL_ERROR_STATUS = 3
UNWRITABLE_STATUS = 3
OUT_OF_MEMORY = (
    "The memory that this process may use does not suffice. Raise its limit (ulimit -v) or that of its container"
)

COMMANDS = tuple(name for names in GROUPS.values() for name in names)
MODULES = {
    "try": "try_prompt",
    "caps": "accounts.caps",
    "costs": "accounts.costs",
    "compare": "judging.compare",
    "pick": "judging.pick",
    "review": "judging.review",
}
"""Commands whose module in `flows.commands` has another name than the command."""


def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and where it runs.")] = False,
) -> None:
    """Turn a manifest of prompts into images, one Parquet table and one usage row per image."""
    if version:
        from tasks.core.installation import get_version  # noqa: PLC0415  no other command needs it

        typer.echo(f"imagen {get_version()} (Python {platform.python_version()}, {sys.prefix})")
        raise typer.Exit


def build_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with the commands of these names."""
    app = typer.Typer(
        name="imagen",
        cls=GroupedCommands,
        no_args_is_help=True,
        # Typer's own traceback shows local variables, and with them keys and prompts.
        pretty_exceptions_enable=False,
        # Markup would take [a, b] in a help text for a style.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(top)
    for name in names:
        module = import_module(f"flows.commands.{MODULES.get(name, name)}")
        if isinstance(group := getattr(module, "app", None), typer.Typer):
            app.add_typer(group, name=name)
        else:
            app.command(name, cls=SingleUseCommand)(module.command)
    return app


def main() -> None:
    """Run the command line; exits with 0, 1, 2, 3 or 130 (see docs/reference.md)."""
    prepare_streams()
    try:
        try:
            _run_command()
        finally:
            # In `finally`, because a command leaves through SystemExit, and what it printed may still be in the buffer.
            if (reason := flush_output()) is not None:
                fail(f"imagen: Cannot write to standard output ({reason}).", UNWRITABLE_STATUS)
    except SystemExit as leaving:
        if "prefect" in sys.modules:
            from tasks.orchestration.server.patience import limit_exit  # noqa: PLC0415  only a run needs it

            limit_exit(leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None))
        raise


def _run_command() -> None:
    try:
        _check_text(sys.argv[1:])
        # Loading all commands and their options is an eighth of what `imagen status` takes.
        asked = [name for name in sys.argv[1:2] if name in COMMANDS]
        try:
            build_app(asked or COMMANDS)(prog_name="imagen")
        except SystemExit:
            # `imagen prices | head` is no failure, and 1 would say that jobs have failed.
            if is_unread():
                sys.exit(0)
            raise
    except ImagenError as exc:
        fail(f"imagen: {exc}", exc.exit_code)
    except OSError as exc:  # of the system, which has its own words for it
        fail(f"imagen: {_explain(exc)}", UNWRITABLE_STATUS)
    except Exception as exc:  # noqa: BLE001  no traceback reaches a user who did not ask for it
        # Looked up in the raw arguments: the error may have come before they were parsed.
        if "-v" in sys.argv or "--verbose" in sys.argv:
            traceback.print_exc()
        if _is_out_of_memory(exc):
            fail(f"imagen: {OUT_OF_MEMORY} ({str(exc) or type(exc).__name__}).", INTERNAL_ERROR_STATUS)
        fail(f"imagen: internal error: {type(exc).__name__}: {exc} (run it with -v for details)", INTERNAL_ERROR_STATUS)


def fail(message: str, status: int) -> None:
    """Say what is wrong on standard error and leave with this exit status."""
    try:
        sys.stderr.write(f"{escape_lines(message)}\n")  # it may quote what a file or a service wrote
        sys.stderr.flush()
    except (OSError, ValueError):  # full, closed, or nobody reads it any more: the status still tells
        cut_off(sys.stderr)
    sys.exit(status)


def _explain(exc: OSError) -> str:
    words = exc.strerror or str(exc) or type(exc).__name__
    if exc.errno in {errno.EMFILE, errno.ENFILE}:
        words += ". Raise the limit (ulimit -n 1024) or lower --concurrency"
    return f"{exc.filename}: {words}." if exc.filename else f"{words}."


def _is_out_of_memory(exc: Exception) -> bool:
    """True for an allocation that failed, also inside of a library or of the system."""
    return isinstance(exc, MemoryError) or any(
        words in str(exc).lower()
        for words in ("failed to map segment", "can't start new thread", "cannot allocate memory")
    )


def _check_text(arguments: list[str]) -> None:
    """Pass for what can be kept and shown: bytes that are no UTF-8 come out of the system as half characters."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as exc:
            raise InputError(_explain_bad_text(argument.encode(errors="surrogateescape"), exc)) from None


def _explain_bad_text(data: bytes, exc: UnicodeEncodeError) -> str:
    line, byte = locate_byte(data, len(exc.object[: exc.start].encode()))
    where = f"{byte} of line {line}" if b"\n" in data else byte
    shown = data.decode(errors="backslashreplace")
    return f"{shown}: is not UTF-8 ({where}). Convert a text, as with `{TO_UTF_8}`, and rename a file."
