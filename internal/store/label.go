package store

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

// Labels returns the labels of tokens by their serials; tokens without one are left out.
func (db *DB) Labels(ctx context.Context, serials []string) (map[string]token.Label, error) {
	all := map[string]token.Label{}
	with := func(serial string, change func(*token.Label)) {
		l := all[serial]
		change(&l)
		all[serial] = l
	}
	for some := range slices.Chunk(possible(serials), chunk) {
		among, args := db.among(1, anys(some))
		var serial, name, value string
		err := db.look(ctx,
			look{"SELECT serial, notes FROM token_note WHERE serial " + among, args, func(r row) error {
				err := r.Scan(&serial, &value)
				with(serial, func(l *token.Label) { l.Notes = value })
				return err
			}},
			look{"SELECT serial, tag FROM token_tag WHERE serial " + among + " ORDER BY serial, tag", args, func(r row) error {
				err := r.Scan(&serial, &name)
				with(serial, func(l *token.Label) { l.Tags = append(l.Tags, name) })
				return err
			}},
			look{"SELECT serial, name, value FROM token_attribute WHERE serial " + among, args, func(r row) error {
				err := r.Scan(&serial, &name, &value)
				with(serial, func(l *token.Label) {
					if l.Attributes == nil {
						l.Attributes = map[string]string{}
					}
					l.Attributes[name] = value
				})
				return err
			}})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// What a label is written with.
var (
	insertNote      = columns("serial, notes, search").insert("token_note")
	insertTag       = columns("serial, tag").insert("token_tag")
	insertAttribute = columns("serial, name, value").insert("token_attribute")
)

// SaveLabel stores the label of a token that is there.
func (db *DB) SaveLabel(ctx context.Context, serial string, l token.Label) error {
	twice := fault.New(fault.Conflict, "the label of token %s was changed meanwhile: read it again", serial)
	all := []statement{
		{"DELETE FROM token_note WHERE serial = $1", []any{serial}, anyRows, nil},
		{"DELETE FROM token_tag WHERE serial = $1", []any{serial}, anyRows, nil},
		{"DELETE FROM token_attribute WHERE serial = $1", []any{serial}, anyRows, nil},
	}
	if l.Notes != "" {
		all = append(all, statement{insertNote, []any{serial, l.Notes, strings.ToLower(l.Notes)}, 1, twice})
	}
	for _, tag := range l.Tags {
		all = append(all, statement{insertTag, []any{serial, tag}, 1, twice})
	}
	for _, name := range slices.Sorted(maps.Keys(l.Attributes)) {
		all = append(all, statement{insertAttribute, []any{serial, name, l.Attributes[name]}, 1, twice})
	}
	return db.batch(ctx, all)
}

// containingOrNoted adds the condition that the search column, or a note, holds a text, in any case.
func (c *conditions) containingOrNoted(text string) {
	if c.containing(text); text != "" {
		last := len(c.where) - 1
		c.where[last] = "(" + c.where[last] + " OR serial IN (SELECT serial FROM token_note WHERE search LIKE " + placesFrom(len(c.args), 1) + ` ESCAPE '\'))`
	}
}

// labelled adds the conditions on labels.
func (c *conditions) labelled(f token.Filter) {
	c.text("serial IN (SELECT serial FROM token_tag WHERE tag = $%d)", f.Tag)
	if f.Attribute != "" {
		c.and("serial IN (SELECT serial FROM token_attribute WHERE name = $%d", f.Attribute)
		last := len(c.where) - 1
		if f.Value != "" {
			c.args = append(c.args, f.Value)
			c.where[last] += " AND value = " + placesFrom(len(c.args), 1)
		}
		c.where[last] += ")"
	}
}
