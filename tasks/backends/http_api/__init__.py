"""The backend `http`: any JSON API, described in the configuration and never programmed.

`template` placeholders and what they become, `pointers` where something stands in an answer, `options` the settings and
every mistake in them, `values` what a job gives the placeholders, `answers` what an answer says, `api` the calls, `backend`
the whole.
"""
