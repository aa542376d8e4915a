"""`judge`: a question about each image, answered by a vision model behind an OpenAI-style API.

A call is an attempt of the image's job in the ledger, with a number of its own range: budget, usage rows and sums count it like
any other. `request` builds a call, `endpoint` sends it, `answer` reads one, `calls` writes the ledger, `judge` decides.
"""
