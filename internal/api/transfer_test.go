package api

import (
	"bytes"
	"io"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/audit"
)

func transferRoutes(t *testing.T, h *house) {
	ctx := t.Context()
	target := newHouse(t)
	key := try(target.as(access.Auditor).TransferKey(ctx))(t)
	if again := try(target.admin.TransferKey(ctx))(t); again != key || key == try(h.admin.TransferKey(ctx))(t) {
		t.Error("the key changes, or is that of another deployment")
	}
	try(h.admin.AddUser(ctx, client.NewUser{UserID: "mover", Name: "Mo"}))(t)
	serials := try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 2}))(t)
	try(h.admin.Assign(ctx, serials[0], "mover"))(t)
	export := client.TokenExport{Selection: client.Selection{Serials: serials}, To: key.PublicKey, WithUsers: true}
	refused(t, h.as(access.TokenAdmin).ExportTokens(ctx, export, io.Discard), 403, "FORBIDDEN")
	var file bytes.Buffer
	must(t, h.admin.ExportTokens(ctx, export, &file))
	if page := try(h.db.Events(ctx, audit.Filter{Action: "export.token"}))(t); len(page.Entries) != 2 {
		t.Errorf("%d exports in the log", len(page.Entries))
	}
	export.To = "nonsense"
	refused(t, h.admin.ExportTokens(ctx, export, io.Discard), 400, "INVALID")

	in := client.TransferFile{Name: "from there", From: try(h.admin.TransferKey(ctx))(t).SignerKey}
	_, err := h.admin.ReceiveTokens(ctx, in, bytes.NewReader(file.Bytes()))
	refused(t, err, 422, "TRANSFER_WRONG_KEY")
	j := try(target.as(access.TokenAdmin).ReceiveTokens(ctx, in, bytes.NewReader(file.Bytes())))(t)
	if j.Kind != "transfer" || j.Total != 2 {
		t.Errorf("started %+v", j)
	}
	in.From = try(target.admin.TransferKey(ctx))(t).SignerKey
	_, err = target.admin.ReceiveTokens(ctx, in, bytes.NewReader(file.Bytes()))
	refused(t, err, 422, "TRANSFER_WRONG_SIGNER")
	must(t, target.Jobs.RunAll(ctx))
	if tok := try(target.admin.Token(ctx, serials[0]))(t); tok.UserID != "mover" || !tok.Enabled {
		t.Errorf("arrived %+v", tok)
	}
	// Here it is called with success as well.
	own := try(h.admin.TransferKey(ctx))(t)
	file.Reset()
	must(t, h.admin.ExportTokens(ctx, client.TokenExport{Selection: client.Selection{Serials: serials}, To: own.PublicKey}, &file))
	j = try(h.admin.ReceiveTokens(ctx, client.TransferFile{}, bytes.NewReader(file.Bytes())))(t)
	must(t, h.Jobs.RunAll(ctx))
	if page := try(h.admin.JobItems(ctx, j.Job, client.JobItemFilter{}))(t); page.Items[0].Code != "IMPORT_DUPLICATE" || !page.Items[0].OK {
		t.Errorf("tokens that came back: %+v", page.Items)
	}
}
