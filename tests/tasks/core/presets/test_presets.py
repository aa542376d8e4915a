"""Image services by name: the list of them, their place in a configuration, and what each says of itself."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from tasks.backends import EMBEDDED_TYPES, build_backend
from tasks.backends.ended_models import describe_model_end
from tasks.backends.http_api.backend import HttpBackend
from tasks.backends.listings import list_services
from tasks.backends.prices import find_price
from tasks.core.configuration.sections import BackendSettings
from tasks.core.configuration.settings import Settings, load_settings
from tasks.core.errors import ConfigError, InputError
from tasks.core.presets import list_presets, load_preset
from tasks.core.presets.blocks import add_block, build_block
from tasks.core.starter import find_shipped
from tasks.manifest import open_manifest
from tasks.plan.check import check_manifest
from tasks.plan.planner import PlanOptions
from tests.support.fakes.backends import make_instance_job, open_backend
from tests.support.fakes.named_service import NamedService, build_instance, find_hosts, list_variables
from tests.support.fakes.service_shapes import SHAPES
from tests.support.fakes.serving import serving


async def test_a_program_gives_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vertex: where a configuration file names it, the program is run and its token sent."""
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    service = NamedService(name="vertex")
    async with serving(service) as url:
        instance = load_preset("vertex").instance
        [host] = find_hosts(instance)
        program = [sys.executable, "-c", "print('ya29.token')"]
        text = json.dumps({**instance, "token_command": program}).replace(host, url)
        path = tmp_path / "imagen.yaml"
        path.write_text(yaml.safe_dump({"default_backend": "v", "backends": {"v": json.loads(text)}}))
        backend = build_backend("v", load_settings(path))
        job = make_instance_job(instance)
        try:
            assert await backend.fetch(job, await backend.wait(job, await backend.submit(job, attempt=1)))
        finally:
            await backend.close()


@pytest.mark.parametrize("name", list_presets())
def test_prices_have_a_date_and_a_source(name: str) -> None:
    """A price that nobody can look up again is none, and the default model of a service that has prices has one."""
    preset = load_preset(name)
    assert bool(preset.prices) == bool(preset.prices_from) == bool(preset.prices_on)
    for model in preset.prices:
        price = find_price(model, {}, service=name)
        assert price is not None
        assert (price.model, price.as_of) == (f"{name}/{model}", preset.prices_on)
    assert not preset.prices or find_price(preset.instance["model"], {}, service=name)


def test_a_missing_key_is_the_only_thing_that_a_service_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its variables set each one is ready."""
    for variable in list_variables():
        monkeypatch.setenv(variable, "key")
    monkeypatch.setattr("shutil.which", lambda name: name)
    backends = {name: {"type": name} for name in list_presets()}
    settings = Settings.model_validate({"default_backend": "gemini", "backends": backends})
    for name in list_presets():
        instance = settings.backends[name]
        assert instance.service == name
        if "token_command" not in instance.options:
            assert build_backend(name, settings).ready() is None


@pytest.mark.parametrize("name", [name for name in list_presets() if load_preset(name).key and name != "vertex"])
def test_a_missing_key_says_where_it_is_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another variable, such as an account's name, is missing too."""
    for variable in list_variables():
        monkeypatch.delenv(variable, raising=False)
    settings = Settings.model_validate({"default_backend": name, "backends": {name: {"type": name}}})
    missing = str(build_backend(name, settings).ready())
    assert str(load_preset(name).key) in missing
    assert str(load_preset(name).key_at) in missing


def test_every_service_says_what_it_is() -> None:
    """Listed with its key, where that is made, and what it was held against; none is left out of these tests."""
    services = {service["name"]: service for service in list_services(Settings())}
    assert set(services) == set(SHAPES) == set(list_presets())
    for name, service in services.items():
        assert all(
            service[field] for field in ("title", "price", "refused", "lost", "kept", "checked", "sizes", "limits")
        ), name
        assert (service["key"] is None) == (service["key_at"] is None)
        assert service["key_at"] is None or httpx.URL(service["key_at"]).scheme == "https"


def test_a_service_s_name_is_a_type_and_own_settings_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key says where it is made."""
    path = tmp_path / "imagen.yaml"
    path.write_text("default_backend: g\nbackends:\n  g: {type: gemini, model: other, concurrency: 3}\n")
    settings = load_settings(path)
    instance = settings.backends["g"]
    assert (instance.type, instance.model, instance.concurrency) == ("http", "other", 3)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    assert "aistudio.google.com" in str(build_backend("g", settings).ready())
    path.write_text("default_backend: g\nbackends:\n  g: {type: gemini, ouput: {}}\n")
    with pytest.raises(ConfigError, match="ouput"):
        build_backend("g", load_settings(path))


@pytest.mark.parametrize(
    "before",
    [
        "",
        "default_backend: a\n",
        "backends:\n  a: {type: sketch}\ndefault_backend: a\n",
        "backends: # mine\n\n  # a\n  a:\n    type: sketch\ndefault_backend: a\n",
    ],
)
def test_a_service_is_written_into_a_configuration(before: str, tmp_path: Path) -> None:
    """Under `backends`, with comments; what stood there stays, and a second time is an error."""
    path = tmp_path / "imagen.yaml"
    path.write_text(before)
    add_block(path, "gemini")
    values = yaml.safe_load(path.read_text())
    assert values["backends"]["gemini"] == {"type": "gemini"}
    assert values.get("default_backend") == (yaml.safe_load(before) or {}).get("default_backend")
    assert set(values["backends"]) - {"gemini"} == set((yaml.safe_load(before) or {}).get("backends") or {})
    with pytest.raises(InputError, match="already"):
        add_block(path, "gemini")


@pytest.mark.parametrize(
    "text", ["backends: {a: {type: sketch}}\n", "backends:\n    a: {type: sketch}\n", "a: [", "backends: 5\n"]
)
def test_a_file_without_a_place_for_it_is_left_alone(text: str, tmp_path: Path) -> None:
    """The block is shown, to be pasted."""
    path = tmp_path / "imagen.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="type: gemini"):
        add_block(path, "gemini")
    assert path.read_text() == text
    with pytest.raises(InputError, match=r"no such service; did you mean gemini\?; there are: a1111, azure-openai"):
        add_block(path, "gemnii")


@pytest.mark.parametrize("name", sorted(EMBEDDED_TYPES))
def test_a_type_of_its_own_is_no_unknown_service(name: str) -> None:
    """`imagen init --backend fal` says where its instance is."""
    with pytest.raises(InputError, match=f"{name}: is a type of its own"):
        build_block(name)


def build_rows(name: str) -> tuple[str, str]:
    """The service's rows in the two tables of docs/backends.md."""
    preset = load_preset(name)
    key = "none" if preset.key is None else f"`{preset.key}`"
    killed = "goes on" if "poll" in preset.instance else "`output_gone`"
    models = ", ".join(f"`{model}`" for model in preset.models) or "those that the server has"
    units = [
        f"`{model}` " + " + ".join(f"${amount:g} a {unit.replace('_', ' ')}" for unit, amount in usd.items())
        for model, usd in preset.prices.items()
    ]
    prices = "; ".join([*units, f"read {preset.prices_on}"]) if units else "-"
    return (
        f"| `{name}` | {preset.title} | {key} | {preset.price} | {preset.refused} | {preset.lost} | {killed} |",
        f"| `{name}` | {models} | {preset.sizes} | {preset.limits} | {preset.kept} | {prices} |",
    )


@pytest.mark.parametrize("name", list_presets())
def test_the_page_says_of_a_service_what_its_file_says(name: str) -> None:
    """Both tables of docs/backends.md, row by row."""
    page = (Path(__file__).parents[4] / "docs/backends.md").read_text().splitlines()
    for row in build_rows(name):
        assert row in page, row


def check(name: str, url: str) -> str:
    """What the service tells at no cost."""
    backend = open_backend(build_instance(name, url))
    assert isinstance(backend, HttpBackend)
    return backend.check_freely() or ""


@pytest.mark.parametrize("name", [name for name in list_presets() if "check" in load_preset(name).instance])
async def test_a_key_is_checked_for_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the service has a free call; a wrong key is named by its variable, and nothing is made."""
    service = NamedService(name=name)
    for variable in list_variables():
        monkeypatch.setenv(variable, service.key)
    async with serving(service) as url:
        told = await asyncio.to_thread(check, name, url)
        assert "works" in told
        monkeypatch.setenv(str(load_preset(name).key), "wrong-secret")
        with pytest.raises(ConfigError, match=str(load_preset(name).key)) as caught:
            await asyncio.to_thread(check, name, url)
    assert "wrong-secret" not in str(caught.value)
    assert service.created == []


@pytest.mark.parametrize("name", list_presets())
def test_a_default_model_has_not_ended(name: str) -> None:
    """A service proposes no model that it ends, unless it ends as a whole; and an end has its source."""
    preset = load_preset(name)
    assert bool(preset.ended) == bool(preset.ended_from)
    assert preset.instance.get("model") not in preset.ended or set(preset.models) <= set(preset.ended)


def test_the_starter_proposes_no_model_that_ends(tmp_path: Path) -> None:
    """What a new user copies from there must go on working."""
    (tmp_path / "imagen.yaml").write_text(find_shipped("imagen.yaml").read_text())
    backends = load_settings(tmp_path / "imagen.yaml").backends
    assert [name for name, instance in backends.items() if describe_model_end(instance, instance.model)] == []


def test_a_model_that_ends_is_told_before_anything_is_paid(tmp_path: Path) -> None:
    """The plan's notes name it with the day; another model of the service has none."""
    manifest = tmp_path / "m.csv"
    manifest.write_text("prompt,backend\na fox,old\na cat,new\n")
    backends = {"old": {"type": "gemini", "model": "gemini-2.5-flash-image"}, "new": {"type": "gemini"}}
    settings = Settings.model_validate({"default_backend": "new", "backends": backends})
    with open_manifest(str(manifest)) as opened:
        report = check_manifest(opened, settings, PlanOptions())
    [note] = [note for note in report.notes if "ends" in note]
    assert note.startswith("backend 'old': gemini ends the model gemini-2.5-flash-image on 2026-10-02")


@pytest.mark.parametrize(
    ("api_base", "told"), [(None, True), ("https://api.openai.com/v1", True), ("https://proxy.example/v1", False)]
)
def test_the_end_of_a_model_of_openai_is_told(api_base: str | None, *, told: bool) -> None:
    """It holds for OpenAI alone: another server of the type may go on with a model of the same name."""
    instance = BackendSettings.model_validate({"type": "openai", "model": "gpt-image-1.5", "api_base": api_base})
    end = describe_model_end(instance, "gpt-image-1.5")
    assert (end is not None and "2026-12-01" in end) == told
