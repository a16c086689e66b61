package api

import (
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/user"
)

const (
	// recent is how far back activity is shown (spec/software-token-lifecycle.md section 11).
	recent = 7 * 24 * time.Hour
	// readings bounds how often the log is read for one answer: a program that signs in all the time has more than people look at.
	readings = 20
)

func (a *API) userActivity(ctx context.Context, r *request) (answer, error) {
	u, err := a.Users.Get(ctx, r.PathValue("user_id"))
	if err != nil {
		return answer{}, err
	}
	return a.activity(ctx, u, "", r.limit())
}

func (a *API) tokenActivity(ctx context.Context, r *request) (answer, error) {
	t, err := a.Tokens.Get(ctx, serial(r))
	if err != nil {
		return answer{}, err
	}
	if t.UserID == "" {
		return ok(client.Activity{SignIns: []client.SignIn{}})
	}
	u, err := a.Users.Get(domain.WithScope(ctx, domain.Scope{}), t.UserID) // the token may be here and she elsewhere
	if err != nil {
		return answer{}, err
	}
	return a.activity(ctx, u, t.Serial, r.limit())
}

// activity answers with a user's last sign-ins, the newest first: all, or those that a token had part in.
func (a *API) activity(ctx context.Context, u user.User, serial string, limit int) (answer, error) {
	f := audit.Filter{Action: "authn.*", Object: "user:" + u.ID, Since: a.Now().Add(-recent), Newest: true}
	if u.CreatedAt.After(f.Since) { // what was before is of somebody else who had the ID, or of nobody
		f.Since = u.CreatedAt
	}
	if serial == "" {
		f.Limit = limit
	}
	out := client.Activity{SignIns: []client.SignIn{}}
	for range readings {
		page, err := a.Log.Events(ctx, f)
		if err != nil {
			return answer{}, err
		}
		for _, entry := range page.Entries {
			e, err := audit.ParseRecord(entry.Record)
			if err != nil {
				return answer{}, err
			}
			if s := signIn(e); serial == "" || slices.Contains(s.Tokens, serial) {
				out.SignIns = append(out.SignIns, s)
			}
		}
		if f.After = page.Next; page.Next == "" || len(out.SignIns) >= limit {
			break
		}
	}
	out.SignIns = out.SignIns[:min(limit, len(out.SignIns))]
	return ok(out)
}

// signIn shows the event of a decision, with what its reason means.
func signIn(e audit.Event) client.SignIn {
	detail := func(name string) string { text, _ := e.Details[name].(string); return text }
	why := authentication.Explain(e.Reason)
	s := client.SignIn{
		At: e.At, Outcome: e.Outcome, Agent: detail("agent"), Station: detail("station"), Tokens: []string{}, Emergency: detail("emergency"), Method: detail("method"),
		Reason: e.Reason, Meaning: why.Meaning, NextStep: why.NextStep, CorrelationID: e.Correlation,
	}
	if e.Action == "authn.challenge" {
		s.Outcome = "challenge"
	}
	if one := detail("token"); one != "" {
		s.Tokens = append(s.Tokens, one)
	}
	tried, _ := e.Details["tokens"].([]any)
	for _, t := range tried {
		if serial, is := t.(string); is {
			s.Tokens = append(s.Tokens, serial)
		}
	}
	return s
}
