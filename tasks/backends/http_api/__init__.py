"""The backend `http`: any JSON API, described in the configuration and never programmed.

`sections` and `options` the settings and every mistake in them, `template` placeholders, `places` where something stands in
an answer, `values` what a job gives the placeholders, `requests` bodies and forms, `tokens` sessions and programs that give
a token, `answers` what an answer says, `api` the calls, `backend` the whole.
"""
