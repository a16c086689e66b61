#!/usr/bin/env bash
# Runs every fuzz target of the module for a while: scripts/fuzz.sh 10m
set -euo pipefail
time=${1:-1m}
go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r package dir; do
	grep -ho '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | while read -r target; do
		echo "== $package $target $time"
		nice go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x "$package" </dev/null
	done
done
