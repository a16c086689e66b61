package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/store/deploytest"
)

func TestTheSameKeyGivesTheSameAnswer(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	ask := func(path, body, once string) (int, http.Header, string) {
		t.Helper()
		return h.send(key, "POST", path, body, "Idempotency-Key", once)
	}
	status, first, body := ask("/v1/users", `{"user_id":"alice"}`, "key-0001")
	again, second, repeated := ask("/v1/users", `{"user_id":"alice"}`, "key-0001")
	if status != http.StatusCreated || again != status || repeated != body || first.Get("ETag") != second.Get("ETag") || second.Get("Location") != "/v1/users/alice" {
		t.Errorf("%d %s, then %d %s", status, body, again, repeated)
	}
	for name, other := range map[string][2]string{"body": {"/v1/users", `{"user_id":"bob"}`}, "path": {"/v1/tokens", `{"count":1}`}} {
		if status, _, body := ask(other[0], other[1], "key-0001"); status != http.StatusUnprocessableEntity || !strings.Contains(body, `"KEY_REUSED"`) {
			t.Errorf("other %s: %d %s", name, status, body)
		}
	}
	// Somebody else's keys are their own.
	if status, _, body := h.send(h.key(access.SuperAdmin), "POST", "/v1/users", `{"user_id":"bob"}`, "Idempotency-Key", "key-0001"); status != http.StatusCreated {
		t.Errorf("another actor: %d %s", status, body)
	}
	// A refusal is not kept.
	if status, _, _ := ask("/v1/tokens/assign-next", `{"user_id":"alice"}`, "key-0002"); status != http.StatusConflict {
		t.Errorf("without tokens: %d", status)
	}
	try(h.admin.CreateTokens(t.Context(), client.NewTokens{Count: 1}))(t)
	if status, _, body := ask("/v1/tokens/assign-next", `{"user_id":"alice"}`, "key-0002"); status != http.StatusOK {
		t.Errorf("with tokens: %d %s", status, body)
	}
}

// A delivery is issued once, its kept answer is sealed, and outlives a rotation of the data keys.
func TestAnIssueIsRepeated(t *testing.T) {
	h := newHouse(t)
	key := h.key(access.SuperAdmin)
	h.profile("string", "ctf")
	tok := h.assigned("alice")
	ask := func() string {
		t.Helper()
		status, _, body := h.send(key, "POST", "/v1/tokens/"+tok.Serial+"/distribute", `{"profile":"string"}`, "Idempotency-Key", "issue-alice")
		if status != http.StatusCreated {
			t.Fatalf("%d %s", status, body)
		}
		return body
	}
	first := ask()
	try(h.Keyring.Rotate(t.Context()))(t)
	if n := try(h.Keyring.Reseal(t.Context(), 100))(t); n == 0 {
		t.Error("nothing resealed")
	}
	if again := ask(); again != first {
		t.Error("issued twice")
	}
	if after := try(h.admin.Token(t.Context(), tok.Serial))(t); after.IssueCount != 1 {
		t.Errorf("issued %d times", after.IssueCount)
	}
	_, sealed, err := h.db.KeptReply(t.Context(), h.actor(key), "issue-alice")
	must(t, err)
	if strings.Contains(string(sealed.Blob), "ctf") {
		t.Error("the kept answer is not sealed")
	}
	if _, err := h.Keyring.Open(t.Context(), sealed, seed.ReplyTo(h.actor(key)+"/other")); err == nil {
		t.Error("the kept answer opens for another key")
	}

	// Once the seed is destroyed, so is the answer that holds it, and asking again issues nothing.
	try(h.admin.Redistribute(t.Context(), tok.Serial, client.Redistribution{Distribution: client.Distribution{Profile: "string"}, Reason: "COMPROMISED"}))(t)
	status, _, body := h.send(key, "POST", "/v1/tokens/"+tok.Serial+"/distribute", `{"profile":"string"}`, "Idempotency-Key", "issue-alice")
	if status != http.StatusConflict || !strings.Contains(body, "CONFLICT") {
		t.Errorf("after another seed: %d %s", status, body)
	}
	if after := try(h.admin.Token(t.Context(), tok.Serial))(t); after.IssueCount != 2 {
		t.Errorf("issued %d times", after.IssueCount)
	}
}

// actor is whose answers are kept, of those who hold a key.
func (h *house) actor(key string) string {
	h.t.Helper()
	k := try(h.Keys.Check(h.t.Context(), key))(h.t)
	return audit.Actor{Name: "key:" + k.Name, KeyID: k.ID}.Caller()
}

// Who gets the name of a key that is gone gets nothing else of it: no answer that it was given, and no dialogue that it began.
func TestANameIsNobodysForEver(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	named := func(role access.Role) client.Secret {
		return try(h.admin.AddAPIKey(ctx, client.NewAPIKey{Name: "deploy", Role: string(role)}))(t).Key
	}
	ask := func(key client.Secret) (int, string) {
		status, _, body := h.send(string(key), "POST", "/v1/api-keys", `{"name":"root","role":"super_admin"}`, "Idempotency-Key", "deploy-1")
		return status, body
	}
	former := named(access.SuperAdmin)
	status, body := ask(former)
	if again, same := ask(former); status != http.StatusCreated || again != status || same != body {
		t.Fatalf("%d %s, then %d %s", status, body, again, same)
	}
	must(t, h.admin.DeleteAPIKey(ctx, "deploy"))
	if status, body := ask(named(access.Operator)); status != http.StatusForbidden || strings.Contains(body, "tsk_") {
		t.Errorf("an operator of the same name: %d %s", status, body)
	}
	must(t, h.admin.DeleteAPIKey(ctx, "deploy"))

	what := h.asked("alice")
	begun := try(h.with(named(access.AgentRole)).Check(ctx, what))(t)
	must(t, h.admin.DeleteAPIKey(ctx, "deploy"))
	later := h.with(named(access.AgentRole))
	if other := try(later.Check(ctx, what))(t); other.Result != "denied" || other.Attempt != "" {
		t.Errorf("the same request of another key: %+v", other)
	}
	_, err := later.Answer(ctx, begun, "827416")
	refused(t, err, 404, "ATTEMPT_NOT_FOUND")
}

// One request that arrives many times at once happens once, and all get its answer; on both databases.
func TestOneRequestManyTimesAtOnce(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { atOnce(t, newHouse(t)) })
	t.Run("postgres", func(t *testing.T) {
		atOnce(t, furnish(t, deploytest.Postgres(t)))
	})
}

func atOnce(t *testing.T, h *house) {
	key := h.key(access.SuperAdmin)
	requests := [][2]string{
		{"/v1/users", `{"user_id":"alice"}`}, {"/v1/tokens", `{"count":2}`}, {"/v1/api-keys", `{"name":"one","role":"agent"}`},
		{"/v1/tokens/create", `{"count":2}`}, {"/v1/tokens/create", `{"count":2100,"name":"a lot"}`},
	}
	for n, request := range requests {
		answers := make([]string, 8)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				status, _, body := h.send(key, "POST", request[0], request[1], "Idempotency-Key", fmt.Sprint("once-for-", n))
				if status != http.StatusCreated {
					t.Errorf("%s: %d %s", request[0], status, body)
				}
				answers[i] = body
			})
		}
		all.Wait()
		for _, a := range answers[1:] {
			if a != answers[0] {
				t.Errorf("%s: two answers\n%s\n%s", request[0], answers[0], a)
			}
		}
	}
	if jobs := try(h.admin.Jobs(t.Context(), client.JobFilter{}))(t).Jobs; len(jobs) != 2 {
		t.Errorf("%d jobs are there: %+v", len(jobs), jobs)
	}
	if tokens := try(h.admin.Tokens(t.Context(), client.TokenFilter{}))(t); len(tokens.Tokens) != 2 {
		t.Errorf("%d tokens made, asked for 2", len(tokens.Tokens))
	}
}
