package token

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// A Label is what administrators write on a token (section 3). It stays when the token gets another user.
type Label struct {
	Notes      string
	Attributes map[string]string // by name
	Tags       []string          // sorted, each once
}

// Limits of labels.
const (
	MaxNotes      = 4096 // bytes
	MaxAttributes = 20
	MaxName       = 64  // characters of the name of an attribute, and of a tag
	MaxValue      = 256 // characters of the value of an attribute
	MaxTags       = 20
)

// tidy sorts tags and refuses what breaks a limit.
func (l *Label) tidy() error {
	l.Tags = slices.Compact(slices.Sorted(slices.Values(l.Tags)))
	switch {
	case len(l.Notes) > MaxNotes || !utf8.ValidString(l.Notes):
		return fault.New(fault.Invalid, "notes take up to %d bytes", MaxNotes)
	case len(l.Attributes) > MaxAttributes:
		return fault.New(fault.Invalid, "a token has up to %d attributes, not %d", MaxAttributes, len(l.Attributes))
	case len(l.Tags) > MaxTags:
		return fault.New(fault.Invalid, "a token has up to %d tags, not %d", MaxTags, len(l.Tags))
	}
	for _, tag := range l.Tags {
		if !plain(tag, MaxName) || strings.ContainsAny(tag, " ,") {
			return fault.New(fault.Invalid, "a tag takes 1 to %d printable characters, none of them a blank or a comma", MaxName)
		}
	}
	for name, value := range l.Attributes {
		if !plain(name, MaxName) || strings.Contains(name, "=") || value != "" && !plain(value, MaxValue) {
			return fault.New(fault.Invalid, "the name of an attribute takes 1 to %d printable characters without =, and its value up to %d", MaxName, MaxValue)
		}
	}
	return nil
}

// plain tells whether a text has one to so many printable characters, and no blanks at its ends.
func plain(s string, most int) bool {
	n := utf8.RuneCountInString(s)
	return n > 0 && n <= most && s == strings.TrimSpace(s) && user.Printable(s)
}

// Labels returns the labels of tokens by their serials; tokens without one are left out.
func (r *Registry) Labels(ctx context.Context, serials []string) (map[string]Label, error) {
	return r.Store.Labels(ctx, serials)
}

// EditLabel runs change on the label of a token and saves it, in one transaction. If version is not 0, the token must
// still be at it: else [fault.Conflict].
func (r *Registry) EditLabel(ctx context.Context, serial string, version int, change func(*Label)) (Token, error) {
	var t Token
	err := r.Store.Transact(ctx, func(ctx context.Context) error {
		var err error
		t, err = r.Change(ctx, serial, version, "token.edit", func(*Token) (audit.Details, error) {
			return r.relabel(ctx, serial, change)
		})
		return err
	})
	return t, err
}

func (r *Registry) relabel(ctx context.Context, serial string, change func(*Label)) (audit.Details, error) {
	all, err := r.Store.Labels(ctx, []string{serial})
	if err != nil {
		return nil, err
	}
	was := all[serial]
	is := Label{was.Notes, maps.Clone(was.Attributes), slices.Clone(was.Tags)}
	if is.Attributes == nil {
		is.Attributes = map[string]string{}
	}
	change(&is)
	if err := is.tidy(); err != nil {
		return nil, err
	}
	return audit.Details{
		"before": audit.Details{"tags": was.Tags, "attributes": was.Attributes}, "after": audit.Details{"tags": is.Tags, "attributes": is.Attributes},
		"notes_changed": was.Notes != is.Notes,
	}, r.Store.SaveLabel(ctx, serial, is)
}
