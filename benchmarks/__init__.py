"""Speed of imagen beside the programs that people write instead, and its growth: `make bench`.

`sizes` says what is measured, `contenders/` does the same work in several ways, `compare`, `floor`, `scale`, `faults`, `planning`,
`rate` and `startup` measure; `pictures` are what the service sends, and `others` tells whether the machine was busy. Below them: `work` what a contender is asked for, `process` runs inside each measured process (`installed` says what it sees),
`measuring` starts it and reads what it used, `simulator` and `services` are what it talks to. `results` keeps the figures,
`targets` holds them against what was promised, `report` and `plot` show them.
"""
