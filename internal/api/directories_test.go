package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jimlambrt/gldap"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/directory/directorytest"
)

// ldapServer is a small directory with one person; package directory is tested with a real one.
func ldapServer(t *testing.T) (url, ca string) {
	return directorytest.Imitated(t, func(m *gldap.SimpleBindMessage) int {
		if string(m.Password) == "ldap password" {
			return gldap.ResultSuccess
		}
		return gldap.ResultInvalidCredentials
	}, func(*gldap.SearchMessage) map[string]map[string][]string {
		return map[string]map[string][]string{"uid=ldap-1,dc=example,dc=com": {"uid": {"ldap-1"}, "cn": {"From there"}}}
	})
}

func directoryRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	url, ca := ldapServer(t)
	bind, base, password, none := "cn=reader,dc=example,dc=com", "dc=example,dc=com", client.Secret("ldap password"), "none"
	every := int64(3600)
	d := try(c.AddDirectory(ctx, client.NewDirectory{Directory: "hq", Kind: "openldap", DirectoryEdit: client.DirectoryEdit{
		URL: &url, CA: &ca, BindDN: &bind, Password: &password, BaseDN: &base, Groups: &none, EverySeconds: &every,
	}}))(t)
	if d.UserID != "uid" || d.Filter != "(objectClass=inetOrgPerson)" || d.PageSize != 500 || d.MaxLost != 10 || d.GroupBase != base || d.EverySeconds != 3600 || d.Last != nil || d.Domain != "root" {
		t.Errorf("added %+v", d)
	}
	_, err := c.AddDirectory(ctx, client.NewDirectory{Directory: "hq", Kind: "openldap", DirectoryEdit: client.DirectoryEdit{URL: &url, BaseDN: &base}})
	refused(t, err, 409, "CONFLICT")
	_, err = c.AddDirectory(ctx, client.NewDirectory{Directory: "other", Kind: "openldap", DirectoryEdit: client.DirectoryEdit{BaseDN: &base}})
	refused(t, err, 422, "DIRECTORY_INVALID")
	if found := try(c.TestDirectory(ctx, "hq"))(t); found.Found != 1 {
		t.Errorf("found %+v", found)
	}
	if shown := try(c.SyncDirectory(ctx, "hq", client.SyncWish{DryRun: true}))(t); !shown.Users.DryRun || shown.Users.Added != 1 || shown.Users.Rows[0].UserID != "ldap-1" {
		t.Errorf("shown %+v", shown)
	}
	_, err = c.User(ctx, "ldap-1")
	refused(t, err, 404, "USER_NOT_FOUND")
	if done := try(c.SyncDirectory(ctx, "hq", client.SyncWish{}))(t); done.Found != 1 || done.Users.Added != 1 {
		t.Errorf("done %+v", done)
	}
	if u := try(c.User(ctx, "ldap-1"))(t); u.Name != "From there" {
		t.Errorf("%+v", u)
	}
	if all := try(c.Directories(ctx))(t); len(all) != 1 || all[0].Last == nil || all[0].Last.Code != "" || all[0].Last.Message == "" {
		t.Errorf("listed %+v", all)
	}
	wrong, lost := client.Secret("wrong password"), 50
	edited := try(c.EditDirectory(ctx, "hq", d.Version, client.DirectoryEdit{Password: &wrong, MaxLost: &lost}))(t)
	if edited.Version != 2 || edited.MaxLost != 50 || edited.URL != url {
		t.Errorf("edited %+v", edited)
	}
	_, err = c.EditDirectory(ctx, "hq", d.Version, client.DirectoryEdit{MaxLost: &lost})
	refused(t, err, 409, "CONFLICT")
	_, err = c.TestDirectory(ctx, "hq")
	refused(t, err, 422, "DIRECTORY_REFUSED")
	_, err = c.SyncDirectory(ctx, "hq", client.SyncWish{})
	refused(t, err, 422, "DIRECTORY_REFUSED")
	if got := try(c.Directory(ctx, "hq"))(t); got.Last.Code != "DIRECTORY_REFUSED" {
		t.Errorf("%+v", got.Last)
	}
	must(t, c.DeleteDirectory(ctx, "hq"))
	refused(t, c.DeleteDirectory(ctx, "hq"), 404, "NOT_FOUND")
	_, err = c.Directory(ctx, "hq")
	refused(t, err, 404, "NOT_FOUND")
	try(c.User(ctx, "ldap-1"))(t)
	if told := h.logged.String() + strings.Join(h.texts, ""); strings.Contains(told, string(password)) || strings.Contains(told, string(wrong)) {
		t.Error("a password was shown")
	}
}

// A patient writer remembers until when a body may be read and an answer written.
type patientWriter struct {
	http.ResponseWriter
	read  []time.Time
	until time.Time
}

func (w *patientWriter) SetReadDeadline(until time.Time) error {
	w.read = append(w.read, until)
	return nil
}

func (w *patientWriter) SetWriteDeadline(until time.Time) error {
	w.until = until
	return nil
}

// A directory may be read, and what a job is about stored, for longer than other requests take.
func TestWhatTakesLongHasTime(t *testing.T) {
	c := try(loadContract())(t)
	body := map[string]string{"POST /v1/directories/{name}/sync": "{}", "POST /v1/tokens/create": `{"count": 10000000}`}
	for pattern, more := range map[string]bool{"POST /v1/directories/{name}/sync": true, "POST /v1/directories/{name}/test": true, "GET /v1/directories/{name}": false, "POST /v1/tokens/create": true} {
		op := try(c.operation(pattern))(t)
		method, path, _ := strings.Cut(pattern, " ")
		r := httptest.NewRequestWithContext(t.Context(), method, strings.ReplaceAll(path, "{name}", "hq"), strings.NewReader(body[pattern]))
		if body[pattern] != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		r.SetPathValue("name", "hq")
		w := &patientWriter{ResponseWriter: httptest.NewRecorder()}
		if long := op.allowTime(w, r); long != more || w.until.IsZero() == more {
			t.Errorf("%s has more time: %v, %v", pattern, long, w.until)
		}
		try(op.accept(w, r))(t)
	}
	// So has a body that comes in chunks, where it may be long.
	for pattern, more := range map[string]bool{"POST /v1/devices/import": true, "POST /v1/users": false} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", io.NopCloser(strings.NewReader(`{}`)))
		r.ContentLength = -1
		w := &patientWriter{ResponseWriter: httptest.NewRecorder()}
		if long := try(c.operation(pattern))(t).allowTime(w, r); long != more || w.until.IsZero() == more {
			t.Errorf("%s in chunks has more time: %v, %v", pattern, long, w.until)
		}
	}
}

// Each part of a long body has its time, and what is read behind its end has that of the request: the server sees by it whether the caller is there.
func TestABodyHasToGoOn(t *testing.T) {
	op := try(try(loadContract())(t).operation("POST /v1/tokens/enable"))(t)
	r := httptest.NewRequest(http.MethodPost, "/v1/tokens/enable", iotest.OneByteReader(strings.NewReader("abc")))
	w := &patientWriter{ResponseWriter: httptest.NewRecorder()}
	op.allowTime(w, r)
	try(io.ReadAll(r.Body))(t)
	if n := len(w.read); n != 6 || !w.read[0].Equal(w.until) || !w.read[n-1].Equal(w.until) { // at first, before each read, and at the end
		t.Fatalf("until %v it has %v", w.until, w.read)
	}
	for _, until := range w.read[1:5] {
		if left := w.until.Sub(until); left < longWithin-2*stallWithin {
			t.Errorf("one that does not go on is waited for until %v before the end", left)
		}
	}
}
