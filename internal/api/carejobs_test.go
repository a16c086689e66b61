package api

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/access"
)

func init() {
	for _, v := range []any{
		client.CareOrder{}, client.ReplacementOrder{}, client.ExtensionOrder{}, client.Extension{}, client.Extended{}, client.ExtensionPage{}, client.LabelEdit{},
		client.OffsetReport{}, client.OffsetCount{}, client.OffToken{}, client.OffTokenPage{}, client.CorrectionOrder{}, client.UndoOrder{}, client.Correction{},
		client.CorrectionPage{},
	} {
		goTypes[reflect.TypeOf(v).Name()] = reflect.TypeOf(v)
	}
}

// ended is a job that was started, and its items, once nothing is left to do.
func (h *house) ended(j client.Job, err error) (client.Job, []client.JobItem) {
	h.t.Helper()
	must(h.t, err)
	must(h.t, h.Jobs.RunAll(h.t.Context()))
	h.Pass(time.Second) // the next job gets another name
	var items []client.JobItem
	for item, err := range h.admin.AllJobItems(h.t.Context(), j.Job, client.JobItemFilter{}) {
		must(h.t, err)
		items = append(items, item)
	}
	return try(h.admin.Job(h.t.Context(), j.Job))(h.t), items
}

// said are the codes of items, and the message of those that went well.
func said(items []client.JobItem) (all []string) {
	for _, i := range items {
		if i.OK {
			all = append(all, i.Message)
		} else {
			all = append(all, i.Code)
		}
	}
	return all
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func manyRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	h.profile("care-file", "file")
	var serials []string
	for _, user := range []string{"care-1", "care-2", "care-3"} {
		serials = append(serials, h.assigned(user).Serial)
	}
	missing := "999999999999"
	those := client.Selection{Serials: append(serials, missing)}
	for _, step := range []struct {
		start func(context.Context, client.CareOrder) (client.Job, error)
		says  []string
		state string
	}{
		{c.DisableMany, []string{"", "", "", "TOKEN_NOT_FOUND"}, "disabled"},
		{c.DisableMany, []string{"was disabled already", "was disabled already", "was disabled already", "TOKEN_NOT_FOUND"}, "disabled"},
		{c.EnableMany, []string{"", "", "", "TOKEN_NOT_FOUND"}, "active"},
		{c.ClearNTCMany, []string{"had no wrong passcodes", "had no wrong passcodes", "had no wrong passcodes", "TOKEN_NOT_FOUND"}, "active"},
	} {
		j, items := h.ended(step.start(ctx, client.CareOrder{Selection: those}))
		equal(t, said(items), step.says)
		equal(t, []any{j.State, j.Done, j.Failed}, []any{"done_with_errors", 3, 1})
		if enabled := try(c.Token(ctx, serials[0]))(t).Enabled; enabled != (step.state == "active") {
			t.Errorf("after %s the token is enabled: %t", j.Kind, enabled)
		}
	}
	_, err := c.DisableMany(ctx, client.CareOrder{})
	refused(t, err, 400, "INVALID")
	_, err = h.as(access.HelpDesk).DeleteMany(ctx, client.CareOrder{Selection: those})
	refused(t, err, 403, "FORBIDDEN")

	// Longer lifetimes, with donors or without.
	for _, serial := range serials {
		try(c.Distribute(ctx, serial, client.Distribution{Profile: "care-file"}))(t)
	}
	before := try(c.Token(ctx, serials[0]))(t)
	donor := try(c.CreateTokens(ctx, client.NewTokens{Count: 1, Expiry: "2040-01-01"}))(t)[0]
	_, items := h.ended(c.ExtendMany(ctx, client.ExtensionOrder{Selection: those, Donors: true, DryRun: true}))
	equal(t, said(items)[0], before.EffectiveExpiry+" -> 2040-01-01, donor "+donor)
	equal(t, try(c.Token(ctx, serials[0]))(t), before)
	j, items := h.ended(c.ExtendMany(ctx, client.ExtensionOrder{Selection: those, Donors: true, Until: "2040-01-01"}))
	equal(t, said(items), []string{before.EffectiveExpiry + " -> 2040-01-01, donor " + donor, "NO_DONOR_TOKEN", "NO_DONOR_TOKEN", "TOKEN_NOT_FOUND"})
	after := try(c.Token(ctx, serials[0]))(t)
	equal(t, []any{after.EffectiveExpiry, after.Expiry, after.ExtensionCount, after.ExtendedBy}, []any{"2040-01-01", before.Expiry, 1, donor})
	x := try(c.Extend(client.DryRun(ctx), serials[0], client.Extension{Until: "2041-02-03"}))(t)
	equal(t, []any{x.Until, try(c.Token(ctx, serials[0]))(t).EffectiveExpiry}, []any{"2041-02-03", "2040-01-01"})
	x = try(c.Extend(ctx, serials[0], client.Extension{Until: "2041-02-03"}))(t)
	equal(t, []any{x.Serial, x.Number, x.Was, x.Until, x.DeviceUntil, x.Donor}, []any{serials[0], 2, "2040-01-01", "2041-02-03", before.Expiry, ""})
	_, err = c.Extend(ctx, serials[0], client.Extension{Until: "2041-02-03"})
	refused(t, err, 409, "NOT_EXTENDABLE")
	_, err = c.Extend(ctx, serials[0], client.Extension{Donors: true})
	refused(t, err, 409, "NO_DONOR_TOKEN")
	_, err = c.Extend(ctx, serials[0], client.Extension{Donor: serials[1]})
	refused(t, err, 409, "TOKEN_ALREADY_ASSIGNED")
	_, err = c.ExtendMany(ctx, client.ExtensionOrder{Selection: those})
	refused(t, err, 400, "INVALID")
	page := try(c.Extensions(ctx, client.ExtensionFilter{Serial: serials[0], Limit: 1}))(t)
	if len(page.Extensions) != 1 || page.Extensions[0].Job != j.Job || page.Extensions[0].Donor != donor || page.Next == "" {
		t.Errorf("extensions %+v", page)
	}
	n := 0
	for x, err := range c.AllExtensions(ctx, client.ExtensionFilter{Serial: serials[0], Limit: 1}) {
		must(t, err)
		if n++; x.Number != n {
			t.Errorf("extension %d is %+v", n, x)
		}
	}
	equal(t, n, 2)

	// A token that an older job waits to extend is extended by that one only.
	first := try(c.ExtendMany(ctx, client.ExtensionOrder{Selection: client.Selection{Serials: serials[:1]}, Until: "2042-01-01"}))(t)
	h.Pass(time.Second)
	second := try(c.ExtendMany(ctx, client.ExtensionOrder{Selection: client.Selection{Serials: serials[:2]}, Until: "2043-01-01"}))(t)
	_, err = c.Extend(ctx, serials[0], client.Extension{Until: "2044-01-01"})
	refused(t, err, 409, "NOT_EXTENDABLE")
	_, items = h.ended(first, nil)
	equal(t, said(items), []string{"2041-02-03 -> 2042-01-01"})
	_, items = h.ended(second, nil)
	equal(t, len(items), 2)

	yes := true
	extendable := try(c.Tokens(ctx, client.TokenFilter{Extendable: &yes, UserID: "care-1"}))(t)
	equal(t, len(extendable.Tokens), 1)

	// Replacements, and what ends it all.
	_, items = h.ended(c.ReplaceMany(ctx, client.ReplacementOrder{Selection: client.Selection{Serials: serials[:1]}, NewPIN: true}))
	equal(t, said(items), []string{"NO_TOKEN_AVAILABLE"})
	spare := try(c.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)[0]
	_, items = h.ended(c.ReplaceMany(ctx, client.ReplacementOrder{Selection: client.Selection{Serials: serials[:1]}}))
	equal(t, said(items), []string{"replaced by " + spare})
	_, err = c.Extend(ctx, serials[0], client.Extension{Until: "2044-01-01"})
	refused(t, err, 409, "NOT_EXTENDABLE")
	_, items = h.ended(c.UnassignMany(ctx, client.CareOrder{Selection: client.Selection{Users: []string{"care-1"}}}))
	equal(t, len(items), 2)
	if got := try(c.Token(ctx, serials[0]))(t); got.UserID != "" || !got.Tainted || got.ReplacedBy != "" {
		t.Errorf("unassigned %+v", got)
	}
	dry, items := h.ended(c.DeleteMany(ctx, client.CareOrder{Selection: client.Selection{Serials: append(serials, spare)}, DryRun: true}))
	equal(t, []any{dry.Total, dry.Done, dry.DryRun}, []any{4, 4, true})
	equal(t, said(items), []string{"", "was care-2's", "was care-3's", ""})
	j, _ = h.ended(c.DeleteMany(ctx, client.CareOrder{Selection: client.Selection{Serials: append(serials, spare)}}))
	equal(t, []any{j.State, j.Done}, []any{"done", 4})
	_, err = c.Token(ctx, serials[2])
	refused(t, err, 404, "TOKEN_NOT_FOUND")
}

func labelRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.HelpDesk)
	serial := try(h.admin.CreateTokens(ctx, client.NewTokens{Count: 1}))(t)[0]
	notes, floor, lent := "lent to Zoë", "3", "yes"
	got := try(c.EditLabel(ctx, serial, 1, client.LabelEdit{Notes: &notes, Attributes: map[string]*string{"floor": &floor, "lent": &lent}, AddTags: []string{"vip", "board"}}))(t)
	equal(t, []any{got.Notes, got.Attributes, got.Tags, got.Version}, []any{notes, map[string]string{"floor": "3", "lent": "yes"}, []string{"board", "vip"}, 2})
	got = try(c.EditLabel(ctx, serial, 2, client.LabelEdit{Attributes: map[string]*string{"lent": nil}, AddTags: []string{"vip"}, RemoveTags: []string{"board"}}))(t)
	equal(t, []any{got.Notes, got.Attributes, got.Tags}, []any{notes, map[string]string{"floor": "3"}, []string{"vip"}})
	for _, f := range []client.TokenFilter{{Tag: "vip"}, {Attribute: "floor", Value: "3"}, {Attribute: "floor"}, {Query: "ZOË"}} {
		found := try(c.Tokens(ctx, f))(t)
		if len(found.Tokens) != 1 || found.Tokens[0].Serial != serial {
			t.Errorf("%+v finds %+v", f, found)
		}
	}
	_, err := c.EditLabel(ctx, serial, 1, client.LabelEdit{AddTags: []string{"late"}})
	refused(t, err, 409, "CONFLICT")
	_, err = c.EditLabel(ctx, serial, 0, client.LabelEdit{AddTags: []string{"a b"}})
	refused(t, err, 400, "INVALID")
	_, err = c.EditLabel(ctx, serial, 0, client.LabelEdit{})
	refused(t, err, 400, "INVALID")
	_, items := h.ended(h.admin.DeleteMany(ctx, client.CareOrder{Selection: client.Selection{Tag: "vip"}}))
	equal(t, len(items), 1)
}

func offsetRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.as(access.Operator)
	h.profile("clock-file", "file")
	tok := h.assigned("late")
	d := try(h.admin.Distribute(ctx, tok.Serial, client.Distribution{Profile: "clock-file"}))(t)
	equal(t, try(h.admin.Authenticate(ctx, "late", h.code(d.Delivery, "")))(t), client.Accepted)

	report := try(c.ClockOffsets(ctx))(t)
	if report.Tokens == 0 || len(report.Offsets) == 0 {
		t.Errorf("offsets %+v", report)
	}
	since, until := h.Now().Add(-time.Hour), h.Now().Add(time.Hour)
	order := client.CorrectionOrder{Selection: client.Selection{Serials: []string{tok.Serial}}, Seconds: 600, UsedSince: &since, UsedUntil: &until, Note: "the server was slow"}
	order.DryRun = true
	dry := try(c.CorrectClocks(ctx, order))(t)
	_, items := h.ended(*dry.Job, nil)
	equal(t, said(items), []string{"offset +0 -> +10 intervals"})
	equal(t, dry.Correction, "")
	order.DryRun = false
	made := try(c.CorrectClocks(ctx, order))(t)
	h.ended(*made.Job, nil)
	equal(t, try(h.admin.Token(ctx, tok.Serial))(t).ClockOffsetSeconds, int64(600))
	var off []client.OffToken
	for o, err := range c.OffTokens(ctx, 9) {
		must(t, err)
		off = append(off, o)
	}
	equal(t, len(off), 1)
	equal(t, []any{off[0].Serial, off[0].UserID, off[0].Intervals, off[0].Seconds}, []any{tok.Serial, "late", int64(10), int64(600)})

	shown := try(c.Correction(ctx, made.Correction))(t)
	equal(t, []any{shown.Seconds, shown.Note, shown.Shifted, shown.Undone, shown.UndoneBy}, []any{600, "the server was slow", 1, 0, ""})
	undone := try(c.UndoCorrection(ctx, made.Correction, client.UndoOrder{}))(t)
	_, items = h.ended(*undone.Job, nil)
	equal(t, said(items), []string{"offset +10 -> +0 intervals"})
	n := 0
	for x, err := range c.AllCorrections(ctx) {
		must(t, err)
		if n++; x.Correction != made.Correction || x.Undone != 1 || x.UndoneBy == "" {
			t.Errorf("listed %+v", x)
		}
	}
	equal(t, n, 1)
	_, err := c.UndoCorrection(ctx, "none", client.UndoOrder{})
	refused(t, err, 404, "NOT_FOUND")
	order.Seconds = 0
	_, err = c.CorrectClocks(ctx, order)
	refused(t, err, 400, "INVALID")
	_, err = h.as(access.TokenAdmin).CorrectClocks(ctx, order)
	refused(t, err, 403, "FORBIDDEN")
	must(t, h.admin.DeleteToken(ctx, tok.Serial))
}

// A key of a domain extends what is there by what is there, and finds there by notes.
func TestCareInADomain(t *testing.T) {
	e := newEstate(t)
	ctx, c, in, out := t.Context(), e.berlin, e.inside, e.outside
	e.profile("estate-file", "file")
	notes := "lent out"
	for _, serial := range []string{in["serial"], out["serial"]} {
		try(e.admin.Distribute(ctx, serial, client.Distribution{Profile: "estate-file"}))(t)
		try(e.admin.EditLabel(ctx, serial, 0, client.LabelEdit{Notes: &notes}))(t)
		try(e.admin.Extend(ctx, serial, client.Extension{Until: "2039-01-01"}))(t)
	}
	every, _ := e.ended(e.admin.EnableMany(ctx, client.CareOrder{Selection: client.Selection{All: true}, DryRun: true}))
	root, _ := e.ended(e.admin.EnableMany(ctx, client.CareOrder{Selection: client.Selection{Domain: "root"}, DryRun: true}))
	if root.Total != every.Total || root.Total < 2 {
		t.Errorf("of %d tokens the root has %d", every.Total, root.Total)
	}
	one, _ := e.ended(e.admin.EnableMany(ctx, client.CareOrder{Selection: client.Selection{Domain: "root", Serials: []string{in["serial"]}}, DryRun: true}))
	equal(t, one.Total, 1)
	_, beyond := c.EnableMany(ctx, client.CareOrder{Selection: client.Selection{Domain: "root"}, DryRun: true})
	refused(t, beyond, 403, "OUT_OF_SCOPE")
	later := try(e.admin.CreateTokens(ctx, client.NewTokens{Count: 1, Expiry: "2050-01-01", Domain: "rome"}))(t)[0]
	_, err := c.Extend(ctx, in["serial"], client.Extension{Donor: later})
	refused(t, err, 403, "OUT_OF_SCOPE")
	_, err = c.Extend(ctx, in["serial"], client.Extension{Donors: true})
	refused(t, err, 409, "NO_DONOR_TOKEN")
	mine := try(c.CreateTokens(ctx, client.NewTokens{Count: 1, Expiry: "2051-01-01"}))(t)[0]
	equal(t, try(c.Extend(ctx, in["serial"], client.Extension{Donors: true}))(t).Donor, mine)
	for _, x := range try(c.Extensions(ctx, client.ExtensionFilter{}))(t).Extensions {
		equal(t, x.Serial, in["serial"])
	}
	found := try(c.Tokens(ctx, client.TokenFilter{Query: "LENT"}))(t).Tokens
	if len(found) != 1 || found[0].Serial != in["serial"] {
		t.Errorf("found %+v", found)
	}
}
