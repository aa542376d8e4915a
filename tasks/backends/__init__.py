"""The registry of backend types: ours by name, others' packages through entry points.

A type is loaded only when an instance of it is used, so a command that needs none starts without any.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from tasks.core.errors import ConfigError
from tasks.core.text import format_command

if TYPE_CHECKING:
    from tasks.backends.base import Backend, BackendContext
    from tasks.core.configuration.settings import Settings

ENTRY_POINT_GROUP = "imagen.backends"

EMBEDDED_TYPES = {
    "comfyui": "tasks.backends.comfyui.backend:ComfyBackend",
    "diffusers": "tasks.backends.diffusers_local.backend:DiffusersBackend",
    "fal": "tasks.backends.fal.backend:FalBackend",
    "http": "tasks.backends.http_api.batches.backend:open_backend",
    "openai": "tasks.backends.openai.batch_backend:open_backend",
    "replicate": "tasks.backends.replicate.backend:ReplicateBackend",
    "sketch": "tasks.backends.sketch.backend:SketchBackend",
}
"""Our own types; named here rather than as entry points so that they work in a checkout without an install."""


def find_backend_types() -> dict[str, EntryPoint]:
    """Every backend type that can be configured, ours first; another package cannot replace ours."""
    # Entry points first and ours over them: an installed package must not get the keys that belong to `replicate`.
    ours = {name: EntryPoint(name, value, ENTRY_POINT_GROUP) for name, value in EMBEDDED_TYPES.items()}
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)} | ours


def require_ready(name: str, backend: Backend) -> None:
    """Pass when jobs can be sent to the instance.

    Raises:
        ConfigError: Something is missing; nothing was sent.
    """
    if missing := backend.ready():
        raise ConfigError(f"backend {name!r} is not configured: {missing}")


def build_backend(
    name: str,
    settings: Settings,
    *,
    share: float = 1.0,
    batch: str = "",
    shared: MutableMapping[str, Any] | None = None,
) -> Backend:
    """The configured instance called `name`, ready to be used inside one event loop.

    Args:
        name: As the configuration calls it.
        settings: The configuration.
        share: Of what the account allows besides creates, where several processes ask at the same time.
        batch: Identity of the batch whose jobs are sent; empty where none are.
        shared: See `tasks.backends.base.BackendContext`; the same one for all instances of a batch.

    Raises:
        ConfigError: There is no such instance or type, its package is broken, or the type refuses a setting.
    """
    instance = settings.backends.get(name)
    if instance is None:
        known = ", ".join(settings.backends)
        raise ConfigError(f"backend {name!r} is not configured in {settings.file}; there are: {known}{_advise(name)}")
    found = _find_type(instance.type, place=f"{settings.file}: backends.{name}.type")
    # Imported here: `base` needs pydantic and the image store, and `imagen --help` must not wait for either.
    base = import_module("tasks.backends.base")
    context = base.BackendContext(
        name=name,
        settings=instance,
        output=settings.output,
        prices=settings.prices,
        file=settings.file,
        share=share,
        batch=batch,
        shared={} if shared is None else shared,
    )
    return _load_type(found, context)(context)


def _advise(name: str) -> str:
    """The command that writes an instance of this name, where there is one."""
    from tasks.core.presets import list_presets  # noqa: PLC0415  only a wrong name needs them
    from tasks.core.starter import list_starter_backends  # noqa: PLC0415  likewise

    if name in list_presets():
        return f". To add it to imagen.yaml: {format_command('init', '--backend', name)}"
    if name in list_starter_backends():
        return f". A new imagen.yaml has it; in a folder without one: {format_command('init')}"
    return ""


def _load_type(found: EntryPoint, context: BackendContext) -> Callable[[BackendContext], Backend]:
    try:
        backend_class: Callable[[BackendContext], Backend] = found.load()
    # A plugin may break in any way that an import can; the user has to learn which instance named it.
    except (ImportError, AttributeError) as exc:
        reason = f"{type(exc).__name__}: {exc}"
        raise ConfigError(f"{context.place}.type: {found.name!r} cannot be loaded ({reason})") from exc
    return backend_class


def _find_type(name: str, *, place: str) -> EntryPoint:
    # Ours without a look at what else is installed: that reads the metadata of every package.
    if (ours := EMBEDDED_TYPES.get(name)) is not None:
        return EntryPoint(name, ours, ENTRY_POINT_GROUP)
    types = find_backend_types()
    if name not in types:
        raise ConfigError(f"{place}: {name!r} is not a backend type; there are: {', '.join(sorted(types))}")
    return types[name]
