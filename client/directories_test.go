package client_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
)

// A deadline remembers until when an answer is waited for.
type deadline struct{ until time.Time }

func (d *deadline) RoundTrip(r *http.Request) (*http.Response, error) {
	d.until, _ = r.Context().Deadline()
	return nil, errors.New("no server")
}

// The server may read a directory, or store what a job is about, for longer than other calls take.
func TestWhatTakesLongIsWaitedFor(t *testing.T) {
	for name, call := range map[string]func(*client.Client) error{
		"create": func(c *client.Client) error {
			_, err := c.StartCreation(t.Context(), client.TokenCreation{Count: 10_000_000})
			return err
		},
		"distribute": func(c *client.Client) error {
			_, err := c.DistributeMany(t.Context(), client.BulkDistribution{})
			return err
		},
		"test": func(c *client.Client) error { _, err := c.TestDirectory(t.Context(), "hq"); return err },
		"sync": func(c *client.Client) error {
			_, err := c.SyncDirectory(t.Context(), "hq", client.SyncWish{})
			return err
		},
	} {
		d := &deadline{}
		c, err := client.New("https://tokens.example.com", "key", &http.Client{Timeout: time.Minute, Transport: d})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if call(c) == nil || d.until.Before(begun.Add(15*time.Minute)) {
			t.Errorf("%s is waited for until %v", name, d.until)
		}
	}
}
