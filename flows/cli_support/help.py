"""Help in groups with whole sentences, and a parser that refuses an option which is given twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from flows.cli_support.places import spread_places

GROUPS = {
    "Run": ("init", "try", "plan", "run", "resume", "reroll"),
    "Look": ("status", "show", "gallery", "review", "pick", "compare", "score", "export"),
    "Manage": ("backends", "prices", "caps", "costs", "usage"),
    "Serve": ("serve", "server", "simulate"),
}


class SingleUseCommand(TyperCommand):
    """A command that refuses an option which is given twice and takes one value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, after a look for texts with a leading dash and for repetitions."""
        args = spread_places(self, ctx, args)
        _refuse_dashed_text(self, ctx, args)
        _refuse_repeated_options(self, ctx, args)
        return super().parse_args(ctx, args)


class SingleUseGroup(TyperGroup):
    """The same for a group with options of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as usual, after a look for repetitions."""
        _refuse_repeated_options(self, ctx, args)
        return super().parse_args(ctx, args)


class GroupedCommands(TyperGroup):
    """A group whose help lists commands by what people want to do."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Commands in the order of the groups."""
        return [name for names in GROUPS.values() for name in names]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each group."""
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, _summarize(self.commands[name].help)) for name in names])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write where the pages are: beside the code, so they fit this version."""
        from tasks.core.starter import find_shipped

        with formatter.section("Documentation"):
            formatter.write_text(str(find_shipped("docs")))


def _summarize(text: str | None) -> str:
    """The first paragraph as one line."""
    return " ".join((text or "").partition("\n\n")[0].split())


def _refuse_repeated_options(command: TyperCommand | TyperGroup, ctx: Any, args: list[str]) -> None:
    """Without this the last value would win, and the others be ignored in silence."""
    if ctx.resilient_parsing:  # the shell asks for completions
        return
    _, _, given = command.make_parser(ctx).parse_args(args=list(args))
    for parameter, times in Counter(given).items():
        if times > 1 and isinstance(parameter, TyperOption) and not (parameter.is_flag or parameter.multiple):
            ctx.fail(f"{parameter.opts[-1]} is given {times} times and takes one value. Run the command once for each.")


def _refuse_dashed_text(command: TyperCommand, ctx: Any, args: list[str]) -> None:
    """Tell how to give a text that begins with a dash: `-h for hats` would show the help instead of an image."""
    from tasks.core.text import format_command

    if ctx.resilient_parsing:
        return
    taking = {
        name for option in command.params if isinstance(option, TyperOption) for name in _list_value_names(option)
    }
    # After `--` everything is text.
    before = args[: args.index("--")] if "--" in args else args
    for previous, text in zip(["", *before], before, strict=False):
        # No option has a space in its name; behind `=` stands a value.
        name = text.partition("=")[0]
        if name.startswith("-") and len(name.split()) > 1 and previous not in taking:
            others = [arg for arg in args if arg not in {text, "--"}]
            remedy = format_command(command.name or "", *others, "--", text)
            ctx.fail(f"{text!r} begins with a dash and is no option. If it is a text, put -- before it: {remedy}")


def _list_value_names(option: TyperOption) -> list[str]:
    return [] if option.is_flag else [*option.opts, *option.secondary_opts]
