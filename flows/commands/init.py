"""`imagen init`: a commented configuration, manifests and deployments to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_support.values import expand_path

Target = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Folder to write into. It is made if it does not exist.", callback=expand_path),
]
Demo = Annotated[bool, typer.Option("--demo", help="Also write the demo manifest and the schema for editors.")]
Deployments = Annotated[
    bool, typer.Option("--deployments", help="Also write prefect.yaml and Prefect automations, for nightly runs.")
]

Service = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="Also put this image service into imagen.yaml; `imagen backends --all` lists them.",
    ),
]


def command(
    folder: Target = Path(), demo: Demo = False, deployments: Deployments = False, backend: Service = None
) -> None:
    """Write a commented imagen.yaml and a small manifest to start from.

    Existing files are kept.

    Example: imagen init --demo
    """
    from tasks.core.paths import CONFIG_NAME
    from tasks.core.presets.blocks import add_block, build_block
    from tasks.core.starter import BASICS, DEMO, DEPLOYMENTS, write_starter
    from tasks.core.text import format_command

    # Looked up before anything is written, so that a typing error leaves no half-made folder.
    for name in backend or ():
        build_block(name)
    if deployments:
        _refuse_packages_of_our_names(folder)
    names = dict.fromkeys([*BASICS, *(DEMO if demo else ()), *(DEPLOYMENTS if deployments else ())])
    written, kept = write_starter(folder, names)
    lines = [*(f"wrote {path}" for path in written), *(f"kept {path}: it exists already" for path in kept)]
    for name in backend or ():
        add_block(folder / CONFIG_NAME, name)
        lines.append(f"added the backend {name} to {folder / CONFIG_NAME}; check it: imagen backends --check {name}")
    # Without its name the run would be the default backend's.
    chosen = ["--backend", backend[0]] if backend else []
    tried = format_command("run", folder / (DEMO[0] if demo else "prompts.yaml"), *chosen)
    print("\n".join([*lines, f"try it: {tried}"]))


def _refuse_packages_of_our_names(folder: Path) -> None:
    """Refuse a folder from which Prefect would load a `flows` or `tasks` that is not ours.

    Raises:
        InputError: There is one.
    """
    import flows
    from tasks.core.errors import InputError
    from tasks.core.text import format_command

    # Prefect puts the folder of a deployment first on the import path, whatever Python's settings say.
    for name in ("flows", "tasks"):
        found = next((each for each in (folder / name / "__init__.py", folder / f"{name}.py") if each.is_file()), None)
        if found is not None and folder.resolve() != Path(flows.__file__).resolve().parents[1]:
            raise InputError(
                f"{found}: Prefect would take this for imagen's package `{name}`, and every run would fail. Deploy from a "
                f"folder without such names: {format_command('init', folder / 'imagen', '--deployments')}"
            )
