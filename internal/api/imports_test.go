package api

import (
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
)

func importRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.TokenAdmin)
	text := "SN,Key\n801,000102030405060708090a0b0c0d0e0f\n802,zz\n"
	in := client.Import{Format: "csv", Mapping: map[string]string{"serial": "SN", "seed": "Key"}, Name: "from the vendor"}
	j := try(c.StartImport(ctx, in, strings.NewReader(text)))(t)
	if j.Kind != "import" || j.Total != 2 || j.Name != in.Name || j.State != "queued" {
		t.Errorf("started %+v", j)
	}
	must(t, h.Jobs.RunAll(ctx))
	page := try(c.JobItems(ctx, j.Job, client.JobItemFilter{}))(t)
	if !page.Items[0].OK || page.Items[1].Code != "IMPORT_RECORD_INVALID" || strings.Contains(page.Items[1].Message, "zz") {
		t.Errorf("items %+v", page.Items)
	}
	if tok := try(c.Token(ctx, "000000000801"))(t); tok.Enabled || tok.Origin != "imported" {
		t.Errorf("imported %+v", tok)
	}
	_, err := c.StartImport(ctx, in, strings.NewReader(text))
	refused(t, err, 409, "JOB_NAME_TAKEN")
	_, err = c.StartImport(ctx, client.Import{}, strings.NewReader("x"))
	refused(t, err, 422, "IMPORT_BAD_FORMAT")
	_, err = c.StartImport(ctx, client.Import{Format: "csv", Domain: "nowhere"}, strings.NewReader(text))
	refused(t, err, 404, "DOMAIN_NOT_FOUND")
	_, err = c.StartCreation(ctx, client.TokenCreation{Count: 1, Domain: "nowhere"})
	refused(t, err, 404, "DOMAIN_NOT_FOUND")
	_, err = c.ReceiveTokens(ctx, client.TransferFile{Domain: "nowhere"}, strings.NewReader("x"))
	refused(t, err, 404, "DOMAIN_NOT_FOUND")
	_, err = h.as(access.HelpDesk).StartImport(ctx, in, strings.NewReader(text))
	refused(t, err, 403, "FORBIDDEN")

	j = try(c.StartCreation(ctx, client.TokenCreation{Count: 3, Expiry: "2044-01-01"}))(t)
	must(t, h.Jobs.RunAll(ctx))
	page = try(c.JobItems(ctx, j.Job, client.JobItemFilter{}))(t)
	if len(page.Items) != 3 || try(c.Token(ctx, page.Items[2].Key))(t).Expiry != "2044-01-01" {
		t.Errorf("made %+v", page.Items)
	}
}
