# Copyright The extauth-guard Authors.
# SPDX-License-Identifier: Apache-2.0

# Prints the targets that have a "## text" behind them, under their "##@ group".
BEGIN {
	FS = ":.*## "
	print "Usage: make <target>"
}
/^##@ / {
	printf "\n%s\n", substr($0, 5)
}
/^[a-z][a-z0-9-]*:.*## / {
	printf "  %-23s %s\n", $1, $2
}
