# the rules are the contract of `tasks.backends.base.Backend`
"""The duties of every backend, as tests that any package runs against its own.

A package's tests make a `Subject` of its backend and of a server that stands in for its service, and inherit the rest
(pytest and pytest-asyncio; the marker is on the class):

    class TestMine(BackendConformance):
        @pytest_asyncio.fixture
        async def subject(self):
            async with my_server() as server:
                yield Subject(
                    build=MyBackend,
                    instance={"type": "mine", "api_base": server.url},
                    created=lambda: server.created,
                    endings={Ending.LOST_AFTER: server.drop_the_next_answer},
                )

What the service cannot do is left out of `endings`, and its test is skipped.
"""

from __future__ import annotations

from tasks.backends.conformance.subject import Ending, Subject
from tasks.backends.conformance.suite import BackendConformance

__all__ = ["BackendConformance", "Ending", "Subject"]
