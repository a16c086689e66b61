package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/throttle"
)

// asked is a new user whose fob has no PIN: a right tokencode asks for one.
func (h *house) asked(userID string) client.Check {
	h.t.Helper()
	ctx := h.t.Context()
	tok := h.assigned(userID)
	try(h.admin.AddProfile(ctx, client.NewProfile{Profile: "fob " + userID, DeviceType: "generic", DeliveryMethod: "file", PINType: "fob"}))(h.t)
	out := try(h.admin.Distribute(ctx, tok.Serial, client.Distribution{Profile: "fob " + userID, Password: "correct horse"}))(h.t)
	code := h.code(out.Delivery, "correct horse")
	return client.Check{UserID: userID, Passcode: code, RequestID: "0123456789abcdef"}
}

func TestADialogueOfTheAPI(t *testing.T) {
	h := newHouse(t)
	ctx, gate := t.Context(), h.as(access.AgentRole)
	what := h.asked("alice")
	d := try(gate.Check(ctx, what))(t)
	if d.Result != "new_pin" || d.Step != "new_pin" || d.Turn != 1 || d.ExpiresAt == nil || *d.PIN != (client.PINRules{Min: 4, Max: 8, Creation: "user"}) {
		t.Errorf("%+v", d)
	}
	// The same request again is not decided again; another caller's, or another one with the same ID, is.
	if again := try(gate.Check(ctx, what))(t); again.Attempt != d.Attempt || again.Turn != d.Turn {
		t.Errorf("%+v, then %+v", d, again)
	}
	if other := try(h.admin.Check(ctx, what))(t); other.Result != "denied" {
		t.Errorf("to another caller: %+v", other)
	}
	later := what
	later.Station = "192.0.2.1"
	if other := try(gate.Check(ctx, later))(t); other.Result != "denied" || other.Attempt != "" {
		t.Errorf("another request: %+v", other)
	}

	_, err := h.admin.Answer(ctx, d, "827416")
	refused(t, err, 404, "ATTEMPT_NOT_FOUND")
	rejected := try(gate.Answer(ctx, d, "1234"))(t)
	if rejected.Rejected == "" || rejected.Step != "new_pin" || rejected.Turn != 2 {
		t.Errorf("%+v", rejected)
	}
	_, err = gate.Answer(ctx, d, "827416")
	refused(t, err, 409, "OUT_OF_SEQUENCE")
	last := try(gate.Answer(ctx, rejected, "827416"))(t)
	if last.Step != "reauthenticate" || last.PIN != nil {
		t.Errorf("%+v", last)
	}
	over := try(gate.Answer(ctx, last, "827400000000"))(t)
	if over.Result != "denied" || over.Step != "" || over.Attempt != "" || over.Turn != 0 || over.ExpiresAt != nil {
		t.Errorf("%+v", over)
	}
	_, err = gate.Answer(ctx, last, "827416")
	refused(t, err, 404, "ATTEMPT_NOT_FOUND")
}

func TestAPINOfTheSystemIsShownOnce(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	bySystem := "system"
	try(h.admin.EditTokenPolicy(ctx, 0, client.TokenPolicyEdit{PINCreation: &bySystem}))(t)
	h.Pass(2 * time.Second) // a policy is believed for one
	what := h.asked("alice")
	d := try(h.admin.Check(ctx, what))(t)
	if d.Step != "system_pin" || len(d.SystemPIN) < 4 || fmt.Sprint(d.SystemPIN) != "(hidden)" {
		t.Errorf("%+v", d)
	}
	if d = try(h.admin.Answer(ctx, d, ""))(t); d.Step != "reauthenticate" || d.SystemPIN != "" {
		t.Errorf("%+v", d)
	}
}

func TestAHalfCheck(t *testing.T) {
	h := newHouse(t)
	for _, bad := range []client.Check{
		{}, {UserID: "a"}, {Passcode: "1"}, {Turn: 1}, {Answer: "1"}, {Attempt: "ABCDEFGHIJKLMNOPQRSTUVWXYI"}, {Attempt: "no attempt", Turn: 1},
		{UserID: "a", Passcode: "1", Attempt: "ABCDEFGHIJKLMNOPQRSTUVWXYI", Turn: 1}, {UserID: "a", Passcode: "1", RequestID: "short"},
	} {
		_, err := h.admin.Check(t.Context(), bad)
		refused(t, err, 400, "INVALID")
	}
	_, err := h.admin.Check(t.Context(), client.Check{Attempt: "ABCDEFGHIJKLMNOPQRSTUVWXYI", Turn: 1})
	refused(t, err, 404, "ATTEMPT_NOT_FOUND")
}

// One user whom somebody hammers takes the server away from nobody.
func TestOneUserIsThrottled(t *testing.T) {
	h := newHouse(t)
	gate := h.as(access.AgentRole)
	for range throttle.SubjectBurst {
		h.subjects.Allows("/alice", h.Now())
	}
	_, err := gate.Check(t.Context(), client.Check{UserID: "alice", Passcode: "00000000"})
	refused(t, err, 429, "TOO_MANY")
	if other := try(gate.Check(t.Context(), client.Check{UserID: "bob", Passcode: "00000000"}))(t); other.Result != "denied" {
		t.Errorf("%+v", other)
	}
	h.Pass(time.Second)
	if after := try(gate.Check(t.Context(), client.Check{UserID: "alice", Passcode: "00000000"}))(t); after.Result != "denied" {
		t.Errorf("a second later: %+v", after)
	}
}
