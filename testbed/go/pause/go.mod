module stackgate.invalid/testbed/pause

go 1.24.0
