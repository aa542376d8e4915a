"""The one record of truth of a batch; everything else is a projection of it and can be made again.

`schema` the tables and `versions` of them, `place` where a ledger is, `database` opening one: in `sqlite` or `postgresql`,
`transactions` reading and writing there, `lock` one run at a time, `leases` several workers (each with its `holding`),
`runs` who wrote when, `planning` what is to be done, `journal` what was done (grouped `changes`, which `writer` puts on
disk), `queries` what stands there.
"""
