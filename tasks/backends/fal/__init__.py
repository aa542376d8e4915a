"""The backend `fal`: any image model on fal.ai, through its queue.

`options` its settings, `inputs` what a job becomes, `reference_images` those that go into it, `api` the calls and what each answer
proves, `results` what a finished request says, `backend` the whole.
"""
