"""The backend `replicate`: Replicate's HTTP API, and no prediction ever paid for twice.

`options` its settings, `inputs` what a job becomes, `input_schema` what the model takes, `api` the calls and
what each answer proves, `predictions` what a prediction says, `watcher` waiting for many at little cost,
`delivery` fetching images, `backend` the whole.
"""
