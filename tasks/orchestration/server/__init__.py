"""The Prefect server that a run talks to, found or started without importing Prefect.

`connection` decides which, `user_settings` reads what the user has set, `launch` starts and stops a temporary
one, `process` is what runs in it, `server_records` cleans up after runs that were killed, `history` bounds what is kept.
"""
