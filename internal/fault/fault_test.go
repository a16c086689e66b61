package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
)

func TestWrapKeepsCodeAndDetails(t *testing.T) {
	inner := fault.New(fault.TokenLimit, "alice holds %d tokens", 3).With("limit", 3)
	err := fault.Wrap(fault.Wrap(inner, "assigning"), "job")
	if !errors.Is(err, fault.TokenLimit) || fault.CodeOf(err) != fault.TokenLimit {
		t.Fatalf("code lost: %v", err)
	}
	var e *fault.Error
	if !errors.As(err, &e) || e.Details["limit"] != 3 {
		t.Errorf("details lost: %+v", e)
	}
	if err.Error() != "job: assigning: alice holds 3 tokens" {
		t.Errorf("message %q", err)
	}
}

func TestAnOutageIsNoRefusal(t *testing.T) {
	broken := errors.New("disk")
	err := fault.Wrap(broken, "saving")
	if fault.CodeOf(err) != "" || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if fault.Wrap(nil, "x") != nil {
		t.Error("nil wrapped")
	}
	if fault.CodeOf(fmt.Errorf("x: %w", fault.Conflict)) != fault.Conflict {
		t.Error("bare code not found")
	}
}
