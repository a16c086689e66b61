# make run    builds and starts Tallystick and shows its main job at work
# make test   installs what the tests need and runs everything
# The rest is for daily work; CONTRIBUTING.md says more.

GO      ?= go
DATA    ?= .data
LISTEN  ?= 127.0.0.1:8443
export GOFLAGS += -buildvcs=false

.PHONY: run stop build test test-quick setup bench lint fuzz fixture clean

# Programs name their release (--version), which Go takes from git, where there is one to ask.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$$(git rev-parse >/dev/null 2>&1 && echo true || echo false) -o bin/ ./cmd/tallystick ./cmd/tally

run: build
	scripts/run.sh $(DATA) $(LISTEN)

stop:
	scripts/stop.sh $(DATA)

setup:
	scripts/setup.sh

# Tests are run with -vet=off: go vet has looked before, at more. A third of what follows a change, before the tests themselves, was that.

# The packages whose tests take longest begin first: the others fill the second core beside them.
LONG = ./internal/store ./cmd/tallystick ./internal/server ./internal/authentication

# One package more than there are processors is tested at a time: tests wait for disks, databases and clocks for a third of theirs.
ATONCE = $$(( $$(getconf _NPROCESSORS_ONLN) + 1 ))

# Everything: real stoken, real PostgreSQL, the race detector. It watches all but the C of SQLite that was translated to Go, and
# its locks all the same: watched, opening a database takes four times as long. Leave out no more: without all of modernc.org, a
# race is reported in the standard library that is not reported otherwise.
WATCHED = -race -gcflags=modernc.org/sqlite/lib=-race=false

test: setup
	$(GO) vet ./...
	TALLYSTICK_REQUIRE=$$(scripts/setup.sh --complete && echo 1) $(GO) test -vet=off $(WATCHED) -p $(ATONCE) -timeout 20m $(LONG) ./...

# The loop while working: no race detector, and tests leave out what takes long.
test-quick:
	$(GO) vet ./...
	$(GO) test -vet=off -short -p $(ATONCE) $(LONG) ./...

# Go benchmarks, then a server against the bare database: on SQLite, and on a PostgreSQL that waits for the disk.
bench: build
	$(GO) test -run '^$$' -bench . -benchmem ./...
	bin/tallystick bench
	bin/tallystick bench --protocol rest
	scripts/postgres.sh bin/tallystick bench
	scripts/postgres.sh bin/tallystick bench --protocol rest

# Tools have a module of their own, so that nobody who imports a package gets them; tests build Pebble from it.
lint:
	cd tools && $(GO) build -o ../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...

# Each parser for FUZZTIME.
FUZZTIME ?= 1m
fuzz:
	scripts/fuzz.sh $(FUZZTIME)

# At a release: keeps a backup of its schema, with data in the tables, which every later release must restore.
fixture:
	TALLYSTICK_FIXTURE=1 $(GO) test -count 1 -v -run '^TestInvariant11NothingLeaks$$/^SQLite$$' ./internal/server

clean:
	rm -rf bin
