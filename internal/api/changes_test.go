package api

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
)

func changeRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.ChangeReader)
	try(h.Log.Sequence(ctx))(t)
	begin := try(c.Changes(ctx, client.ChangeFilter{After: -1, Limit: 1}))(t)
	if len(begin.Changes) != 1 || begin.Changes[0].Seq != 0 || begin.Next != 0 || begin.Size < 2 {
		t.Fatalf("the first change is %+v", begin)
	}
	last := begin.Size - 1
	try(h.admin.AddUser(ctx, client.NewUser{UserID: "changed"}))(t)
	decision := try(h.admin.Check(ctx, client.Check{UserID: "changed", Passcode: "12345678"}))(t)
	must(t, h.admin.DeleteUser(ctx, "changed"))
	if decision.Result != "denied" {
		t.Errorf("a stranger is %s", decision.Result)
	}
	if early := try(c.Changes(ctx, client.ChangeFilter{After: last}))(t); len(early.Changes) != 0 || early.Next != last {
		t.Errorf("before they have places there are %+v", early)
	}
	try(h.Log.Sequence(ctx))(t)
	for name, f := range map[string]struct {
		client.ChangeFilter
		want []string
	}{
		"quiet":     {client.ChangeFilter{After: last}, []string{"user.add", "user.delete"}},
		"loud":      {client.ChangeFilter{After: last, Actions: []string{"*"}}, []string{"user.add", "authn.fail", "user.delete"}},
		"two":       {client.ChangeFilter{After: last, Actions: []string{"authn.*", "user.delete"}}, []string{"authn.fail", "user.delete"}},
		"kinds":     {client.ChangeFilter{After: last, Kinds: []string{"token", "profile"}}, nil},
		"one a one": {client.ChangeFilter{After: last, Kinds: []string{"user"}, Limit: 1}, []string{"user.add", "user.delete"}},
	} {
		var got []string
		for e, err := range c.AllChanges(ctx, f.ChangeFilter) {
			must(t, err)
			got = append(got, e.Action)
		}
		if !slices.Equal(got, f.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	_, err := c.Changes(ctx, client.ChangeFilter{After: last + 1000})
	refused(t, err, 409, "PLACE_UNKNOWN")
	_, err = c.Changes(ctx, client.ChangeFilter{After: last, Actions: []string{"Token.*"}})
	refused(t, err, 400, "INVALID")
	_, err = c.Changes(ctx, client.ChangeFilter{After: last, Wait: time.Hour})
	refused(t, err, 400, "INVALID")
}

// Who waits gets the event once it has its place, and is not kept when the server stops.
func TestChangesWait(t *testing.T) {
	h := newHouse(t)
	c := h.as(access.ChangeReader)
	try(h.Log.Sequence(t.Context()))(t)
	now := try(c.Changes(t.Context(), client.ChangeFilter{After: -1}))(t)
	got := make(chan client.Changes)
	wait := func(after int64) {
		page, err := c.Changes(context.Background(), client.ChangeFilter{After: after, Kinds: []string{"user"}, Wait: 30 * time.Second})
		if err != nil {
			t.Error(err)
		}
		got <- page
	}
	go wait(now.Next)
	// What it does not want wakes it, and it waits again.
	try(h.admin.CreateTokens(t.Context(), client.NewTokens{Count: 1}))(t)
	try(h.Log.Sequence(t.Context()))(t)
	try(h.admin.AddUser(t.Context(), client.NewUser{UserID: "waited-for"}))(t)
	try(h.Log.Sequence(t.Context()))(t)
	page := <-got
	if len(page.Changes) != 1 || page.Changes[0].Object != "user:waited-for" {
		t.Errorf("waited for %+v", page)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan bool)
	go func() { h.Log.Run(ctx); close(stopped) }()
	go wait(page.Next)
	stop()
	if page = <-got; len(page.Changes) != 0 {
		t.Errorf("at the end there is %+v", page)
	}
	<-stopped
}

// A looked is an audit log of which is told when somebody has looked for changes.
type looked struct {
	audit.Store
	at chan struct{}
}

func (l looked) Changes(ctx context.Context, after int64, want func(record []byte) bool, limit int) ([]audit.Entry, int64, error) {
	defer func() { l.at <- struct{}{} }()
	return l.Store.Changes(ctx, after, want, limit)
}

// Whose key is deleted while she waits learns of nothing more.
func TestChangesOfADeletedKey(t *testing.T) {
	h := newHouse(t)
	made := try(h.admin.AddAPIKey(t.Context(), client.NewAPIKey{Name: "waits", Role: "change_reader"}))(t)
	try(h.Log.Sequence(t.Context()))(t)
	store := looked{h.Log.Store, make(chan struct{}, 9)}
	h.Log.Store = store
	size := try(store.Size(t.Context()))(t)
	c, told := try(client.New(h.public.URL, string(made.Key), &http.Client{Transport: h}))(t), make(chan error)
	go func() {
		_, err := c.Changes(context.Background(), client.ChangeFilter{After: size - 1, Wait: 30 * time.Second})
		told <- err
	}()
	<-store.at
	must(t, h.admin.DeleteAPIKey(t.Context(), "waits"))
	try(h.Log.Sequence(t.Context()))(t)
	refused(t, <-told, 401, "UNAUTHORIZED")
}
