"""The backend `http`: any JSON API, described in the configuration and never programmed.

`sections` and `options` have the settings and find every mistake in them. `request/` makes a request of a job, `places` finds
values in an answer, `answers` says what it means, `api` makes the calls, and `backend` is the whole.
"""
