package main

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// filters are what --select takes.
const filters = "`filter` is all, undistributed, unconfirmed, not-moved:JOB, serials:FILE, user-file:FILE, group:NAME, domain:NAME, profile:NAME, type:software, type:hardware, tag:NAME, expires-before:DAY or search:TEXT"

// selection reads a filter. Files hold one serial or user ID a line; - is standard input.
func (p *program) selection(filter string) (s client.Selection, err error) {
	if word := map[string]*bool{"all": &s.All, "undistributed": &s.Undistributed, "unconfirmed": &s.Unconfirmed}[filter]; word != nil {
		*word = true
		return s, nil
	}
	kind, value, _ := strings.Cut(filter, ":")
	text := map[string]*string{
		"not-moved": &s.NotMoved, "group": &s.Group, "domain": &s.Domain, "profile": &s.Profile, "type": &s.Type, "tag": &s.Tag, "expires-before": &s.ExpiresBefore, "search": &s.Query,
	}[kind]
	switch {
	case value == "", kind == "type" && value != "software" && value != "hardware":
		err = cli.Usagef("--select: the %s", strings.ReplaceAll(filters, "`", ""))
	case text != nil:
		*text = value
	case kind == "serials":
		s.Serials, err = p.readLines(value)
		s.Serials = fullSerials(s.Serials)
	case kind == "user-file":
		s.Users, err = p.readLines(value)
	default:
		err = cli.Usagef("--select: the %s", strings.ReplaceAll(filters, "`", ""))
	}
	return s, err
}

// readLines reads a file as lines does, and leaves out what begins with #.
func (p *program) readLines(name string) ([]string, error) {
	all, err := p.lines(name)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(line string) bool { return strings.HasPrefix(line, "#") })
	if len(all) == 0 {
		return nil, fault.New(fault.Invalid, "%s names nothing: it takes one a line", name)
	}
	return all, nil
}
