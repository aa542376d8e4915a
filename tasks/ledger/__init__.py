"""The one record of truth of a batch; everything else is a projection of it and can be made again.

`schema` the tables, `database` opening them, `lock` one run at a time, `runs` who wrote when, `planning`
what is to be done, `journal` what was done (grouped commits, which `writer` puts on disk), `queries` what stands there.
"""
