package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

// readDevices reads a CSV file of tokens and the devices that they go to: its first line names the columns device_id, and serial or user_id, in any
// order. Commas, semicolons and tabs separate. - is standard input.
func (p *program) readDevices(name string) ([]client.DeviceOf, error) {
	if name == "" {
		return nil, cli.Usagef("--select devices: takes the name of a CSV file, whose first line is serial,device_id or user_id,device_id")
	}
	data, err := p.readUpTo(name, maxList)
	if err == nil {
		err = inUTF8(data, name)
	}
	if err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	in := csv.NewReader(bytes.NewReader(data))
	first, _, _ := bytes.Cut(data, []byte("\n"))
	for _, c := range ";\t" {
		if bytes.ContainsRune(first, c) {
			in.Comma = c
		}
	}
	rows, err := in.ReadAll()
	if err != nil {
		var at *csv.ParseError
		if errors.As(err, &at) {
			err = fault.New(fault.Invalid, "line %d of %s cannot be read: it has more or fewer fields than the first one, or stray quotes", at.Line, name)
		}
		return nil, err
	}
	if len(rows) < 2 {
		return nil, fault.New(fault.Invalid, "%s names nothing: its first line names the columns, and each other one a token", name)
	}
	at := map[string]int{}
	for i, title := range rows[0] {
		at[strings.ToLower(strings.TrimSpace(title))] = i
	}
	device, has := at["device_id"]
	serial, serials := at["serial"]
	user, users := at["user_id"]
	if !has || serials == users {
		return nil, fault.New(fault.Invalid, "the first line of %s names the columns device_id and either serial or user_id", name)
	}
	all := make([]client.DeviceOf, len(rows)-1)
	for i, row := range rows[1:] {
		all[i].DeviceID = strings.TrimSpace(row[device])
		if serials {
			all[i].Serial = fullSerial(strings.TrimSpace(row[serial]))
		} else {
			all[i].UserID = strings.TrimSpace(row[user])
		}
	}
	return all, nil
}
