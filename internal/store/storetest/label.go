package storetest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

func labels(t *testing.T, s fixture) {
	ctx, r := t.Context(), registry(s)
	s.addUser(t, "alice")
	a, b := s.assignedTo(t, 1, "alice"), s.add(t, made(2))
	want := token.Label{Notes: "lent 100% to Zoë\n", Attributes: map[string]string{"floor": "3", "cost centre": "Ä 7", "empty": ""}, Tags: []string{"board", "vip"}}
	got, err := r.EditLabel(ctx, a.Serial, 1, func(l *token.Label) {
		l.Notes, l.Tags = want.Notes, []string{"vip", "board", "vip"}
		maps.Copy(l.Attributes, want.Attributes)
	})
	same(t, must(t, got, err).Version, 2)
	_, err = r.EditLabel(ctx, b.Serial, 0, func(l *token.Label) { l.Tags, l.Attributes["floor"] = []string{"vip"}, "4" })
	ok(t, err)
	all, err := r.Labels(ctx, []string{a.Serial, b.Serial, made(3).Serial})
	same(t, must(t, all, err), map[string]token.Label{a.Serial: want, b.Serial: {Attributes: map[string]string{"floor": "4"}, Tags: []string{"vip"}}})

	for name, c := range map[string]struct {
		filter token.Filter
		want   []string
	}{
		"tag":              {token.Filter{Tag: "vip"}, []string{a.Serial, b.Serial}},
		"tag and user":     {token.Filter{Tag: "vip", UserID: "alice"}, []string{a.Serial}},
		"no such tag":      {token.Filter{Tag: "VIP"}, nil},
		"attribute":        {token.Filter{Attribute: "floor"}, []string{a.Serial, b.Serial}},
		"attribute, value": {token.Filter{Attribute: "floor", Value: "4"}, []string{b.Serial}},
		"notes":            {token.Filter{Query: "LENT 100% TO"}, []string{a.Serial}},
		"notes and tag":    {token.Filter{Query: "zo", Tag: "board", After: "0"}, []string{a.Serial}},
		"serial":           {token.Filter{Query: b.Serial[5:]}, []string{b.Serial}},
	} {
		found, err := s.Tokens(ctx, c.filter)
		var serials []string
		for _, o := range must(t, found, err) {
			serials = append(serials, o.Serial)
		}
		if !slices.Equal(serials, c.want) {
			t.Errorf("%s: found %v, want %v", name, serials, c.want)
		}
	}

	many := map[string]string{}
	for _, c := range strings.Split("abcdefghijklmnopqrstu", "") {
		many[c] = c
	}
	for name, change := range map[string]func(*token.Label){
		"long notes": func(l *token.Label) { l.Notes = strings.Repeat("x", token.MaxNotes+1) }, "21 attributes": func(l *token.Label) { l.Attributes = many },
		"a blank in a tag": func(l *token.Label) { l.Tags = []string{"a b"} }, "an empty tag": func(l *token.Label) { l.Tags = []string{""} },
		"= in a name": func(l *token.Label) { l.Attributes["a=b"] = "c" }, "a new line": func(l *token.Label) { l.Attributes["a"] = "b\nc" },
		"21 tags": func(l *token.Label) { l.Tags = slices.Collect(maps.Keys(many)) },
	} {
		if _, err := r.EditLabel(ctx, a.Serial, 0, change); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = r.EditLabel(ctx, a.Serial, 1, func(*token.Label) {})
	refused(t, err, fault.Conflict)
	_, err = r.EditLabel(ctx, made(3).Serial, 0, func(*token.Label) {})
	refused(t, err, fault.TokenNotFound)

	// Labels stay with the record, and go with it.
	_, err = r.Unassign(ctx, a.Serial, 0)
	ok(t, err)
	all, err = r.Labels(ctx, []string{a.Serial})
	same(t, must(t, all, err)[a.Serial], want)
	ok(t, s.DeleteToken(ctx, a.Serial))
	all, err = r.Labels(ctx, []string{a.Serial})
	same(t, len(must(t, all, err)), 0)
}
