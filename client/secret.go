package client

import (
	"fmt"
	"io"
	"log/slog"
)

// A Secret is a text that only the server and its owner should read. It is
// sent as it is and never printed.
type Secret string

// Format hides the secret from every verb of package fmt.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "(hidden)") }

// LogValue hides the secret from package log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("(hidden)") }

// Format hides the delivery from every verb of package fmt: each of its fields is, or leads to, a seed.
func (d Delivery) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "delivery(%s, hidden)", d.Method) }

// LogValue hides the delivery from package log/slog.
func (d Delivery) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }
