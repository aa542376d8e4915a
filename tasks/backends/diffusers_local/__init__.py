"""The backend `diffusers`: any text-to-image pipeline of the library of that name, on this machine's own device.

`options` its settings, `model` where the model's files are, `calls` what a job becomes, `pipelines` the loaded model,
`worker` batches of jobs through it, `sharing` one of it for the whole process, `backend` the whole.
torch and diffusers are imported when the first batch is checked or made: everything else starts without them.
"""
