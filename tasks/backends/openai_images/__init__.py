"""The backend `openai`: OpenAI's images API, and servers that speak it.

`options` its settings, `models` what is known of OpenAI's own models, `request` what a job becomes, `answer` the picture
out of the answer as it comes in, `api` the calls and what each answer proves, `backend` one picture a call, `batches` and
`batch_backend` the Batch API.
"""
