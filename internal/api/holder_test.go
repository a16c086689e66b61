package api

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
)

// lends has a token of berlin held by the user of rome, which whoever sees both may do, and returns its serial. It was distributed.
func (e *estate) lends() string {
	e.t.Helper()
	ctx, t := e.t.Context(), e.t
	e.profile("lent-file", "file")
	lent := try(e.admin.Assign(ctx, e.inside["free"], e.outside["user_id"]))(t).Serial
	try(e.admin.Distribute(ctx, lent, client.Distribution{Profile: "lent-file"}))(t)
	return lent
}

// ofAnybody are the routes by which a key does something to a token of its domain whoever holds it: see it, label it, take it back.
var ofAnybody = map[string]int{
	"GET /v1/tokens/{serial}": 200, "GET /v1/tokens/{serial}/activity": 200, "PATCH /v1/tokens/{serial}": 200, "POST /v1/tokens/{serial}/enable": 200,
	"POST /v1/tokens/{serial}/disable": 200, "POST /v1/tokens/{serial}/reset-issue-count": 200, "POST /v1/tokens/{serial}/assign": 409,
	"POST /v1/tokens/{serial}/unassign": 200, "DELETE /v1/tokens/{serial}": 204,
}

// heldBody is what routes of a token take to come as far as its holder.
var heldBody = map[string]string{
	"PATCH /v1/tokens/{serial}": `{"add_tags":["x"]}`, "POST /v1/tokens/{serial}/extend": `{"until":"2041-01-01"}`, "PUT /v1/tokens/{serial}/pin": `{"pin":"1592"}`,
	"POST /v1/tokens/{serial}/resync": `{"first":"12345678","second":"12345678"}`, "POST /v1/tokens/{serial}/lost": `{"emergency":"set"}`, "POST /v1/tokens/{serial}/replace": `{}`,
	"POST /v1/tokens/{serial}/distribute": `{"profile":"lent-file"}`, "POST /v1/tokens/{serial}/redistribute": `{"profile":"lent-file","reason":"LOST_DEVICE"}`,
	"POST /v1/tokens/{serial}/assign": `{"user_id":"berlin-user"}`,
}

// Whoever administers the domain of a token that somebody of another domain holds cannot become her: each route of a token refuses him, but for
// those that ofAnybody has.
func TestAScopedKeyAndTheTokenOfAStranger(t *testing.T) {
	e := newEstate(t)
	lent := e.lends()
	before := try(e.admin.Token(t.Context(), lent))(t)
	for _, last := range []bool{false, true} { // those that are refused first
		for _, route := range table() {
			method, pattern, _ := strings.Cut(route.pattern, " ")
			want, allowed := ofAnybody[route.pattern]
			if !strings.Contains(pattern, "{serial}") || allowed != last {
				continue
			}
			if route.pattern == "DELETE /v1/tokens/{serial}" || route.pattern == "POST /v1/tokens/{serial}/unassign" {
				continue // the last of all
			}
			status, _, body := e.send(e.key, method, strings.ReplaceAll(pattern, "{serial}", lent), heldBody[route.pattern])
			switch {
			case allowed && status != want:
				t.Errorf("%s: %d %s", route.pattern, status, body)
			case !allowed && (status != http.StatusForbidden || !strings.Contains(body, "OUT_OF_SCOPE")):
				t.Errorf("%s reaches the token of a stranger: %d %s", route.pattern, status, body)
			}
		}
		if after := try(e.admin.Token(t.Context(), lent))(t); !last && after.Version != before.Version {
			t.Errorf("the token changed: %+v", after)
		}
	}
	if got := try(e.berlin.Unassign(t.Context(), lent, 0))(t); got.UserID != "" {
		t.Errorf("%+v", got)
	}
	try(e.admin.Assign(t.Context(), lent, e.outside["user_id"]))(t)
	must(t, e.berlin.DeleteToken(t.Context(), lent))
}

// So it is for many at once: what takes a token back, or switches it, is done, and the rest is refused one by one.
func TestAScopedKeyAndManyTokensOfStrangers(t *testing.T) {
	for kind, start := range jobKinds {
		t.Run(kind, func(t *testing.T) {
			e := newEstate(t)
			lent := e.lends()
			e.profile("estate-file", "file")
			e.mails()
			try(e.berlin.CreateTokens(t.Context(), client.NewTokens{Count: 1}))(t) // a replacement
			try(e.admin.Distribute(t.Context(), e.inside["serial"], client.Distribution{Profile: "estate-file"}))(t)
			_, items := e.ended(start(e, e.berlin, client.Selection{Serials: []string{e.inside["serial"], lent}}))
			want := "OUT_OF_SCOPE"
			if slices.Contains([]string{"enable", "disable", "unassign", "delete"}, kind) {
				want = ""
			}
			if !items[0].OK || items[1].Code != want {
				t.Errorf("%+v", items)
			}
		})
	}
}

// The seed of a token that a stranger holds leaves with nobody, also without her.
func TestAScopedKeyExportsNoTokenOfAStranger(t *testing.T) {
	e := newEstate(t)
	lent := e.lends()
	order := client.TokenExport{Selection: client.Selection{Serials: []string{lent}}, To: try(e.berlin.TransferKey(t.Context()))(t).PublicKey}
	refused(t, e.berlin.ExportTokens(t.Context(), order, io.Discard), 403, "OUT_OF_SCOPE")
	must(t, e.admin.ExportTokens(t.Context(), order, io.Discard))
	try(e.berlin.Unassign(t.Context(), lent, 0))(t)
	must(t, e.berlin.ExportTokens(t.Context(), order, io.Discard))
}

// What was delivered for a user who is in another domain since is in no download of the domain that the token stays in.
func TestDownloadsDoNotNameStrangers(t *testing.T) {
	e := newEstate(t)
	ctx := t.Context()
	e.profile("estate-file", "file")
	order := client.BulkDistribution{Selection: client.Selection{Serials: []string{e.inside["serial"]}}, Profile: "estate-file", Protection: "password", IndividualPasswords: true}
	j, items := e.ended(e.berlin.DistributeMany(ctx, order))
	if !items[0].OK {
		t.Fatalf("%+v", items)
	}
	for _, there := range []bool{true, false} {
		if !there {
			try(e.admin.PutIntoDomain(ctx, "rome", client.DomainObjects{Users: []string{e.inside["user_id"]}}))(t)
			try(e.admin.PutIntoDomain(ctx, "berlin", client.DomainObjects{Tokens: []string{e.inside["serial"]}}))(t)
		}
		for _, part := range []string{"passwords", "list"} {
			var mine, all bytes.Buffer
			must(t, e.berlin.DownloadJobPart(ctx, j.Job, part, &mine))
			must(t, e.admin.DownloadJobPart(ctx, j.Job, part, &all))
			if strings.Contains(mine.String(), e.inside["user_id"]) != there || !strings.Contains(all.String(), e.inside["user_id"]) {
				t.Errorf("%s: %s", part, mine.String())
			}
		}
	}
}
