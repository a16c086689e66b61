package api

import (
	"bytes"
	"io"
	"testing"

	"filippo.io/age"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/backup"
)

func backupRoutes(t *testing.T, h *house) {
	ctx := t.Context()
	private, public, err := backup.NewKey()
	must(t, err)
	identity := try(backup.ByKeys([]byte(private)))(t)
	take := func(c *client.Client, in client.BackupRequest) *backup.Reader {
		t.Helper()
		var out bytes.Buffer
		must(t, c.Backup(ctx, in, &out))
		r := try(backup.NewReader(&out, identity...))(t)
		if _, err := backup.Check(r, nil); err != nil {
			t.Fatal(err)
		}
		if !r.MadeBy(h.Keyring) {
			t.Error("it does not show who made it")
		}
		return r
	}
	operator := h.as(access.Operator)
	if r := take(operator, client.BackupRequest{To: []string{public}}); len(r.Header().Files) != 0 || r.Header().Master != h.Keyring.MasterID() {
		t.Errorf("header %+v", r.Header())
	}
	// Whoever has the master key has every seed.
	refused(t, operator.Backup(ctx, client.BackupRequest{To: []string{public}, IncludeKeys: true}, io.Discard), 403, "FORBIDDEN")
	if r := take(h.admin, client.BackupRequest{To: []string{public}, IncludeKeys: true}); string(r.Header().Files["ca.pem"]) != "pem" {
		t.Errorf("header %+v", r.Header())
	}
	classic := try(age.GenerateX25519Identity())(t).Recipient().String()
	for _, in := range []client.BackupRequest{{}, {Password: "correct horse", To: []string{public}}, {To: []string{"age1zzz"}}, {To: []string{public, classic}}} {
		refused(t, operator.Backup(ctx, in, io.Discard), 400, "INVALID")
	}
	refused(t, operator.Backup(ctx, client.BackupRequest{Password: "short"}, io.Discard), 422, "PASSWORD_TOO_WEAK")
	page := try(h.db.Events(ctx, audit.Filter{Action: "backup.take"}))(t)
	if len(page.Entries) != 2 {
		t.Errorf("%d backups in the log", len(page.Entries))
	}
}
