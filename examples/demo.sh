#!/bin/sh
# The main job in four commands, on the embedded simulator: what would be done, doing it, what is there then,
# and a second plan, which is empty. `make demo` builds bin/tend and runs this from the top of the repository.
set -eu

spec=examples/homelab
state=.tend/demo.yaml
rm -f "$state"

# run WANT ARGUMENT... shows a command, runs it and insists on its exit code.
run() {
	want=$1
	shift
	printf '\n$ tend %s\n' "$*"
	code=0
	bin/tend "$@" || code=$?
	if [ "$code" != "$want" ]; then
		echo "demo: tend $1 ended with exit code $code, not $want" >&2
		exit 1
	fi
}

run 2 plan "--sandbox=$state" "$spec"
run 0 apply --yes "--sandbox=$state" "$spec"
run 0 status "--sandbox=$state" "$spec"
run 0 plan "--sandbox=$state" "$spec"
