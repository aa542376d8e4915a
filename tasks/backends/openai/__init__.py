"""The backend `openai`: OpenAI's images API, and servers that speak it.

`options` its settings, `models` facts of OpenAI's own models, `request` the body of a job, `edits` that of a job which starts
from an image, `answer` the image in an answer, `api` the calls and what each answer proves, `costs` the price of an image,
`backend` one image a call. Of the Batch API: `batch_api` its calls, `batch_lines` its answers,
`batch_backend` the whole.
"""
