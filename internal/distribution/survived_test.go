package distribution

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
)

// A defect in the building of one delivery does not end the server, and what it says stays out of the log.
func TestDefectOfADelivery(t *testing.T) {
	err := survived(func() error { panic("the seed is 0123") })
	if err == nil || fault.CodeOf(err) != "" || strings.Contains(err.Error(), "0123") || !strings.Contains(err.Error(), "panic of type string") {
		t.Error(err)
	}
}
