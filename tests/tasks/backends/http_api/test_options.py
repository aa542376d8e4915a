"""A description of an API: every mistake named before anything is sent, and nothing in it is ever run."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.core.errors import ConfigError
from tests.support.fakes.backends import make_instance_job, open_backend
from tests.support.fakes.json_api import at_once, lookup, polled

URL = "http://127.0.0.1:1"
CREATE = at_once(URL, "raw")["create"]

MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a typo in a placeholder": (
        {"create": {**CREATE, "body": {"p": "{prompt}", "s": "{sed}"}}},
        "create.body: {sed} is no placeholder here; there are {aspect_ratio}, ",
    ),
    "a key in the body": (
        {"create": {**CREATE, "body": {"p": "{prompt}", "key": "{env:ANY_KEY}"}}},
        "create.body: {env:ANY_KEY} cannot stand here; a secret belongs into a header",
    ),
    "a prompt in a header": (
        {"create": {**CREATE, "headers": {"X-Prompt": "{prompt}"}}},
        "create.headers: {prompt} is no placeholder here",
    ),
    "no prompt": ({"create": {**CREATE, "body": {"text": "a fox"}}}, "create: {prompt} stands nowhere in it"),
    "no address": ({"create": {**CREATE, "url": "example.com"}}, "create.url: 'example.com' is not an address"),
    "a bad header": ({"create": {**CREATE, "headers": {"X Key": "a"}}}, "'X Key' is not the name of a header"),
    "no pointer": ({"output": {"kind": "url", "at": "images.0"}}, "output.at: 'images.0' is no place in an answer"),
    "no place": ({"output": {"kind": "url"}}, "output: at: say where the image stands"),
    "poll without a state": ({"poll": {"url": URL}, "id": "/id"}, "poll: needs id and state"),
    "a state without poll": ({"state": {"at": "/s", "succeeded": ["a"], "failed": ["b"]}}, "poll: is needed for state"),
    "a GET with a body": ({"create": {**CREATE, "method": "GET"}}, "create.method: a GET has no body"),
    "half a size": ({"default_width": 512}, "default_width: needs default_height"),
    "options in a text": ({"opts_at": "/text"}, "opts_at: in create stands no object at '/text'"),
    "no JSONPath": ({"output": {"kind": "url", "at": "$.["}}, "output.at: '$.[' is no place in an answer"),
    "an address in two ways": ({"create": {**CREATE, "at": "/x"}}, "create: url: write the address, or at"),
    "a body and a form": ({"create": {**CREATE, "form": {"p": "{prompt}"}}}, "create: form: is sent in place of body"),
    "a condition of nothing": ({"refused_when": [{"at": "/x"}]}, "refused_when.0: is: say which values count"),
    "a cost from nowhere": ({"cost": {"times": 0.001}}, "at: name a place in the answer, or a header"),
    "a token from nowhere": (
        {"create": {**CREATE, "headers": {"Authorization": "Bearer {token}"}}},
        "create: nothing gives {token}; write before or token_command",
    ),
    "a token that nobody sends": ({"token_command": ["true"]}, "before, token_command: no call sends {token}"),
    "a program named by a ledger": (
        {"token_command": ["true"], "create": {**CREATE, "headers": {"Authorization": "Bearer {token}"}}},
        ": is run only where a configuration file names it",
    ),
    "unknown": ({"ouput": {}}, "ouput: there is no such setting"),
    "a placeholder of a job in poll": (
        polled(URL, poll={"url": URL + "/{prompt}"}),
        "poll.url: {prompt} is no placeholder here; there are {id}, {model}",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_every_mistake_is_named_with_its_setting(case: str) -> None:
    """One line: the instance, the setting, what is wrong and what there is instead."""
    changes, message = MISTAKES[case]
    with pytest.raises(ConfigError) as caught:
        open_backend({**at_once(URL, "raw"), **changes})
    assert "backends.api" in str(caught.value)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_missing_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one that a header or an address needs, whatever call it stands in."""
    instance = polled(URL, find={**lookup(URL), "url": URL + "/?key={env:OTHER_KEY}"})
    assert open_backend(instance).ready() == "set ANY_KEY, OTHER_KEY"
    monkeypatch.setenv("ANY_KEY", "a")
    monkeypatch.setenv("OTHER_KEY", "b")
    assert open_backend(instance).ready() is None


def test_options_of_a_row_that_cannot_be_sent_are_a_problem() -> None:
    """A create without a body has no room for them."""
    instance = at_once(URL, "raw", create={"url": URL + "/?p={prompt}"})
    [problem] = open_backend(instance).problems(make_instance_job(instance, backend_opts={"cfg": 3}))
    assert problem.startswith("backend_opts: ")
    assert open_backend(instance).problems(make_instance_job(instance)) == []
