"""The backend `openai`: OpenAI's images API, and servers that speak it.

`options` its settings, `models` what is known of OpenAI's own models, `request` what a job becomes, `edits` what one does
that starts from a picture, `answer` the picture out of the answer as it comes in, `api` the calls and what each answer
proves, `costs` what a picture costs, `backend` one picture a call. Of the Batch API: `batch_api` its calls, `gathering` jobs
into batches, `batch_results` what came of them, `batch_backend` the whole.
"""
