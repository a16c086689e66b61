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
func (p *program) selection(filter string) (client.Selection, error) {
	kind, value, _ := strings.Cut(filter, ":")
	var s client.Selection
	switch {
	case filter == "all":
		s.All = true
	case filter == "undistributed":
		s.Undistributed = true
	case filter == "unconfirmed":
		s.Unconfirmed = true
	case value == "":
		return s, cli.Usagef("--select: the %s", strings.ReplaceAll(filters, "`", ""))
	case kind == "not-moved":
		s.NotMoved = value
	case kind == "group":
		s.Group = value
	case kind == "domain":
		s.Domain = value
	case kind == "profile":
		s.Profile = value
	case kind == "type" && (value == "software" || value == "hardware"):
		s.Type = value
	case kind == "tag":
		s.Tag = value
	case kind == "expires-before":
		s.ExpiresBefore = value
	case kind == "search":
		s.Query = value
	case kind == "serials", kind == "user-file":
		lines, err := p.readLines(value)
		if err != nil {
			return s, err
		}
		if kind == "serials" {
			s.Serials = fullSerials(lines)
		} else {
			s.Users = lines
		}
	default:
		return s, cli.Usagef("--select: the %s", strings.ReplaceAll(filters, "`", ""))
	}
	return s, nil
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
