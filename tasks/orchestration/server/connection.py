"""The Prefect server a run talks to: the user's own where there is one, else a temporary one that ends with the run.

Takes a state folder and the environment in which Prefect is about to be imported; gives a handle and sets
`PREFECT_API_URL`. It must be called before `import prefect`, and does not import it: that costs seconds, and Prefect
reads its settings once. A temporary server ends with its run in three ways: `stop`, a pipe that the system closes when
the run is killed, and records of what was started for the next run to look at (`tasks.orchestration.server.server_records`).
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json import JSONDecodeError
from pathlib import Path

from pydantic import ValidationError

from tasks.core.display import current_display
from tasks.core.memory import require_address_space
from tasks.orchestration.server.health import (
    ANSWER_TIMEOUT_S,
    Presence,
    ServerError,
    is_listening,
    look_for_prefect,
    look_for_server,
    remove_login,
    require_answer,
)
from tasks.orchestration.server.history import forget_old_runs
from tasks.orchestration.server.launch import TemporaryServer, Waiting, start_server
from tasks.orchestration.server.loading import PLACES, find_first_problem, require_usable_variables
from tasks.orchestration.server.server_records import get_servers_folder, remove_orphans
from tasks.orchestration.server.user_settings import find_setting, locate_setting

__all__ = [
    "ServerError",
    "ServerHandle",
    "connect",
    "find_users_server",
    "require_lasting_server",
    "set_quiet_defaults",
]

API_URL = "PREFECT_API_URL"
DEFAULT_API_URL = "http://127.0.0.1:4200/api"
"""The address at which `prefect server start` listens unless told otherwise."""
# A port that nobody listens on is refused at once; a server on a busy machine takes its time.
DEFAULT_PORT_TIMEOUT_S = 5.0
# The user's own server may be far away, and its first answer slow.
USERS_SERVER_TIMEOUT_S = 10.0
LOOPBACK = "127.0.0.1"
CLOUD_PATH = "/accounts/"
"""Part of every address of Prefect Cloud, whose login is a key."""
# Beside the default one, for the advice to those whose default port is taken.
FREE_PORT = 4201


def set_quiet_defaults(environ: MutableMapping[str, str]) -> None:
    """Turn Prefect's analytics off, in the server and in the client, where the user has not decided.

    Raises:
        ConfigError: a Prefect settings file cannot be read.
    """
    analytics = "PREFECT_SERVER_ANALYTICS_ENABLED"
    if find_setting(environ, analytics, ("server", "analytics_enabled")) is None:
        environ[analytics] = "false"
    # Read by other libraries too, so a user's own value is never overwritten.
    environ.setdefault("DO_NOT_TRACK", "1")


@dataclass(slots=True, kw_only=True, eq=False)
class ServerHandle:
    """The server in use. Only a server that we started has anything to stop."""

    api_url: str
    given_up: bool = False
    """Nothing waits for it any more."""
    _server: TemporaryServer | None = None
    _environ: MutableMapping[str, str] = field(default_factory=dict)

    def look(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Presence:
        """Look whether it is there and answers; a server that is only busy answers within half a minute."""
        return look_for_server(self.api_url, timeout_s=timeout_s)

    def give_up(self, found: Presence) -> ServerError:
        """Wait for it no longer; gives the error that says so."""
        self.given_up = True
        what = (
            f"the Prefect server at {remove_login(self.api_url)}"
            if self._server is None
            else "Prefect's temporary server"
        )
        return ServerError(f"{what} {found.value}; restart it. What is done is kept, and the same command goes on")

    def explain(self, exc: Exception) -> ServerError:
        """The error that names the cause of what Prefect's client raised: its server is ours, or the user's own."""
        # Prefect's own error for what is gone has no words, but a cause that has.
        lines = (str(each).partition("\n")[0] for each in (exc, exc.__cause__))
        words = next((line for line in lines if line not in {"", "None"}), type(exc).__name__)
        # A page that explains the number 401 helps nobody to log in.
        words = words.partition(" - For more information")[0]
        kept = "what is done is kept, and the same command goes on"
        # Prefect builds serializers and looks up blocks that its settings name only when a run begins.
        if isinstance(exc, ValueError) and not isinstance(exc, JSONDecodeError):
            words = find_first_problem(exc) if isinstance(exc, ValidationError) else words
            return ServerError(f"Prefect cannot begin the run ({words}): {PLACES}; {kept}")
        if self._server is None:
            login = "PREFECT_API_KEY" if CLOUD_PATH in self.api_url else "PREFECT_API_AUTH_STRING"
            return ServerError(
                f"the Prefect server cannot be used ({words}): look at PREFECT_API_URL and {login}; {kept}"
            )
        return ServerError(f"Prefect's temporary server failed: {self._server.find_problem() or words}; {kept}")

    def stop(self) -> None:
        """End a server of ours, in at most about 5 s; a second call, or any other server, is left alone.

        It is also called when the interpreter exits. That is the better moment once Prefect has been imported: its
        last events and logs are sent while the interpreter shuts its threads down, just before.
        """
        server, self._server = self._server, None
        if server is None:
            return
        # Unregistered first, so that an exit right afterwards does not stop the server a second time.
        atexit.unregister(self.stop)
        if self._environ.get(API_URL) == self.api_url:
            del self._environ[API_URL]
        server.stop()


def connect(
    state_dir: Path,
    environ: MutableMapping[str, str],
    *,
    on_wait: Callable[[float], None],
    startup_timeout_s: float = 180.0,
    default_api_url: str = DEFAULT_API_URL,
) -> ServerHandle:
    """Find the user's Prefect server, or start a temporary one and wait until it answers.

    Args:
        state_dir: where records and output of temporary servers are kept; made when it is needed.
        environ: read for Prefect's settings; `PREFECT_API_URL` is set in it unless the user's settings name a server.
        on_wait: called about every second of a start with the seconds passed.
        startup_timeout_s: how long a start may take. The first one makes Prefect's database and takes the longest.
        default_api_url: tried before a server is started.

    Raises:
        ServerError: the user's server does not answer, or the temporary one could not be started.
        ConfigError: a Prefect settings file cannot be read, or a proxy of the environment cannot be used.
        ImagenError: the limit of this process's memory is too low for Prefect.
    """
    require_address_space()
    require_usable_variables()
    # A server of a run that was killed still holds its database and port.
    remove_orphans(state_dir)
    if url := find_users_server(environ, default_api_url=default_api_url):
        return ServerHandle(api_url=url)
    waiting = Waiting(on_wait=on_wait, timeout_s=startup_timeout_s)
    try:
        server = start_server(get_servers_folder(state_dir), environ, waiting)
    # A folder that cannot be written, a machine without free ports: its cause is in the words.
    except OSError as error:
        advice = "where that folder cannot be written, set XDG_STATE_HOME; or set PREFECT_API_URL to your own server"
        raise ServerError(f"Prefect's temporary server cannot be started ({state_dir}): {error}; {advice}") from error
    _point_prefect_to(server.api_url, environ)
    handle = ServerHandle(api_url=server.api_url, _server=server, _environ=environ)
    atexit.register(handle.stop)
    forget_old_runs(server.api_url, datetime.now(UTC))
    return handle


def find_users_server(environ: MutableMapping[str, str], *, default_api_url: str = DEFAULT_API_URL) -> str | None:
    """The API of the server that the user runs; None where there is none, and a temporary one would have to do.

    `PREFECT_API_URL` is set in `environ` unless the user's settings name a server.

    Raises:
        ServerError: The server that the settings name does not answer.
        ConfigError: A Prefect settings file cannot be read.
    """
    if (named := locate_setting(environ, API_URL, ("api", "url"))) and named.value:
        # The user named this server, so its silence is an error and no reason to start another one.
        require_answer(named.value, timeout_s=USERS_SERVER_TIMEOUT_S, place=named.place)
        return named.value
    found = look_for_prefect(default_api_url, timeout_s=DEFAULT_PORT_TIMEOUT_S)
    if found is Presence.ANSWERS:
        _point_prefect_to(default_api_url, environ)
        return default_api_url
    if found is Presence.HANGS:
        # Its user will look for this run in its pages.
        current_display.get().warn(
            f"what listens at {default_api_url} does not answer. If it is your Prefect server, restart it: "
            "its pages do not show this run, which has a temporary server"
        )
    return None


def require_lasting_server(url: str | None, again: str, *, default_api_url: str = DEFAULT_API_URL) -> str:
    """Pass for the API of a server of the user's own.

    Raises:
        ServerError: There is none; a temporary server starts no scheduled run.
    """
    if url is None and is_listening(default_api_url):
        # The commands of below would meet a port that is taken.
        raise ServerError(
            f"schedules need a Prefect server, and what listens at {default_api_url} does not answer as one. "
            "If it is your server, restart it; else take another port:\n"
            f"    imagen server --port {FREE_PORT}\n"
            f"    PREFECT_API_URL=http://{LOOPBACK}:{FREE_PORT}/api {again}"
        )
    if url is None:
        raise ServerError(
            "schedules need a Prefect server that stays; a temporary one starts no scheduled run. Two commands:\n"
            "    imagen server        (leave it running; its pages are at http://127.0.0.1:4200)\n"
            f"    {again}\n"
            "For a server elsewhere: prefect config set PREFECT_API_URL=http://HOST:4200/api"
        )
    return url


def _point_prefect_to(api_url: str, environ: MutableMapping[str, str]) -> None:
    """Point Prefect to a server on this machine, past any proxy: Prefect would ask the proxy for it and fail."""
    environ[API_URL] = api_url
    exempt = (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(",")
    # Prefect's client asks a proxy for 127.0.0.1 too, where HTTP_PROXY is set.
    if LOOPBACK not in exempt and "*" not in exempt:
        # Both spellings are in use, and the small one wins where both are set.
        environ["no_proxy"] = environ["NO_PROXY"] = ",".join([*filter(None, exempt), LOOPBACK])
