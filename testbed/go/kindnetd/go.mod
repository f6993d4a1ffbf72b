module stackgate.invalid/testbed/kindnetd

go 1.24.0
