package audit_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/store/storetest"
)

func TestChoice(t *testing.T) {
	line := func(action, object string) []byte {
		e := audit.New(t.Context(), time.Unix(1e9, 0), action, object, audit.Details{"action": "token.assign", "object": "token:1"})
		e.Actor.Name = `user:","action":"token.assign","object":"token:9`
		b, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	all := map[string][]byte{}
	for _, what := range []string{"token.assign token:1", "token.delete token:1", "user.add user:alice", "authn.fail user:alice", "authn.success user:a", "mail.sign_in mail:sign_in", "tokenless.x thing:1"} {
		action, object, _ := strings.Cut(what, " ")
		all[action] = line(action, object)
	}
	for _, tt := range []struct {
		choice audit.Choice
		want   string
	}{
		{audit.Choice{}, "token.assign token.delete tokenless.x user.add"},
		{audit.Choice{Actions: []string{"*"}}, "authn.fail authn.success mail.sign_in token.assign token.delete tokenless.x user.add"},
		{audit.Choice{Actions: []string{"token.*"}}, "token.assign token.delete"},
		{audit.Choice{Actions: []string{"token."}}, "token.assign token.delete"},
		{audit.Choice{Actions: []string{"token.assign", "authn.fail"}}, "authn.fail token.assign"},
		{audit.Choice{Actions: []string{"token"}}, ""},
		{audit.Choice{Actions: []string{"mail.*"}}, "mail.sign_in"},
		{audit.Choice{Kinds: []string{"user"}}, "user.add"},
		{audit.Choice{Kinds: []string{"user", "thing"}, Actions: []string{"*"}}, "authn.fail authn.success tokenless.x user.add"},
		{audit.Choice{Kinds: []string{"use"}, Actions: []string{"*"}}, ""},
	} {
		var got []string
		for action, b := range all {
			if tt.choice.Has(b) {
				got = append(got, action)
			}
		}
		slices.Sort(got)
		if err := tt.choice.Check(); strings.Join(got, " ") != tt.want || err != nil {
			t.Errorf("%+v chooses %v (%v), want %s", tt.choice, got, err, tt.want)
		}
	}
	for _, wrong := range []audit.Choice{
		{Actions: []string{""}}, {Actions: []string{"to*ken"}}, {Actions: []string{"Token.*"}}, {Kinds: []string{""}}, {Kinds: []string{"user:alice"}},
		{Actions: slices.Repeat([]string{"a.b"}, audit.MaxChoice+1)},
	} {
		if err := wrong.Check(); !errors.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// Who waits is woken by the round that places an event, and when the server stops.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := storetest.NewLog(t, m, "")
		l.Logger, l.Now = slog.New(slog.DiscardHandler), time.Now
		ctx, stop := context.WithCancel(t.Context())
		waited := make(chan int, 3)
		for i := range int64(2) {
			go func() { l.Await(t.Context(), i); waited <- int(i) }()
		}
		synctest.Wait()
		if len(waited) != 0 {
			t.Error("nobody should be awake yet")
		}
		record(t, m, 1)
		go l.Run(ctx)
		if first := <-waited; first != 0 {
			t.Errorf("%d is awake", first)
		}
		stop()
		if second := <-waited; second != 1 || l.Running() {
			t.Errorf("%d is awake, running %v", second, l.Running())
		}
		l.Await(t.Context(), 9) // does not wait any more
	})
}
