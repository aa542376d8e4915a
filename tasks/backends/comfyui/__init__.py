"""The backend `comfyui`: a workflow on one or many ComfyUI servers.

`options` its settings, `graph` what a job becomes, `node_info` what the servers know of its nodes, `server` the calls
to one of them, `pool` which one a job goes to, `history` what an ended prompt says, `watch` the looks at it, `backend` the whole.

Shapes of requests and answers: ComfyUI 0.3.64, run on the CPU and read in 2026-11.
"""
