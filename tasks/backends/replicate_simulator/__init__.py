"""A simulator of Replicate's HTTP API on this machine: its behaviour, its limits, its faults by name, and the truth.

In the order of a request: `server` opens the ports, `routes` says who answers what, `create` and `reads` answer the API,
`delivery` hands out files, `control` is for whoever rehearses. Below them: `provider` the account with its predictions,
`predictions` one prediction over time, `outcomes` what becomes of it, `models` (and `model_pages`, `sizes`) what can be
run, `input_check` what is refused, `rates` the limits, `faults` what goes wrong and when, `chance` the dice,
`simulated_time` the clock, `images` the files, `answers` and `problems` what leaves, `truth` what was really created
and billed. `rehearsal` is what `imagen simulate` runs.

It exists so that nobody has to pay to see how a batch behaves when the service does not. Facts about the real API
carry source and date where they are used.
"""
