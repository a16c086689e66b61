package store_test

import (
	"errors"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

// What waited to be mailed when a backup was taken may have been sent since: restored, it waits for an administrator and not for a mail server. What was held still
// waits for its user, but for activation codes, which a restore revokes.
func TestRestoredMailIsNotSentAgain(t *testing.T) {
	db := deploytest.Open(t, deploytest.SQLite(t))
	populate(t, db, 10)
	states := map[string]mail.State{"a": mail.Waiting, "b": mail.Sending, "c": mail.Sent, "d": mail.Failed, "e": mail.Held, "f": mail.Held}
	for id, state := range states {
		event := mail.Password
		if id == "f" {
			event = mail.ActivationCode
		}
		m := mail.Message{
			ID: id, Event: event, Recipient: "alice@example.com", State: state, Sealed: seed.Sealed{KeyID: 1, Blob: []byte("the body")},
			CreatedAt: takenAt, NextAt: takenAt, ExpiresAt: takenAt,
		}
		if err := db.AddMessages(t.Context(), []mail.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	data, url := take(t, db), deploytest.SQLite(t)
	if _, err := restore(t.Context(), url, data, takenAt); err != nil {
		t.Fatal(err)
	}
	restored := deploytest.Open(t, url)
	if m, err := restored.DueMessage(t.Context(), takenAt.AddDate(1, 0, 0), takenAt.AddDate(2, 0, 0)); !errors.Is(err, fault.NotFound) {
		t.Errorf("message %s would be sent (%v)", m.ID, err)
	}
	for id, was := range states {
		want := was
		switch {
		case was == mail.Waiting || was == mail.Sending:
			want = mail.Unknown
		case id == "f":
			want = mail.Cancelled
		}
		if m, err := restored.Message(t.Context(), id); m.State != want || err != nil {
			t.Errorf("%s was %s and is %s (%v), want %s", id, was, m.State, err, want)
		}
	}
}
