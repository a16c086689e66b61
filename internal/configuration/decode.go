package configuration

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// secondsSuffix ends the names of lengths of time in the API. In a configuration they go without, and are written as 24h or 7d.
const secondsSuffix = "_seconds"

// outside are members that a configuration does not have: secrets come from a file or the environment, and the place of a webhook moves.
var outside = []string{"secret", "password", "after", "skip"}

// nameOf is what a member of an object of the API is called in a configuration, and whether it is a length of time. "" is
// for what a configuration does not have.
func nameOf(field reflect.StructField) (name string, isTime bool) {
	name, _, _ = strings.Cut(field.Tag.Get("json"), ",")
	kind := field.Type
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if slices.Contains(outside, name) {
		return "", false
	}
	if kind.Kind() == reflect.Int64 && strings.HasSuffix(name, secondsSuffix) {
		return strings.TrimSuffix(name, secondsSuffix), true
	}
	return name, false
}

// decode reads an object into a struct of package client, by the names of its members in JSON, and notes where they are.
func (f *File) decode(file string, n *yaml.Node, into any, member string) error {
	target := reflect.ValueOf(into).Elem()
	return members(file, n, "this", func(name string, at place, value *yaml.Node) error {
		var known []string
		for i := range target.NumField() {
			field := target.Type().Field(i)
			called, isTime := nameOf(field)
			if called == "" {
				continue
			}
			if called != name {
				known = append(known, called)
				continue
			}
			inAPI, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			f.places[pointer(member, inAPI)] = at
			return f.value(at, value, target.Field(i), isTime)
		}
		return at.refuse("there is no %q here: there are %s", name, among(known))
	})
}

// value reads one value.
func (f *File) value(at place, n *yaml.Node, into reflect.Value, isTime bool) error {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		return f.value(at, n, into.Elem(), isTime)
	}
	if n.Kind == yaml.AliasNode {
		return at.refuse("anchors and aliases are not taken here")
	}
	if into.Kind() == reflect.Slice {
		return f.list(at, n, into)
	}
	if into.Kind() == reflect.Map {
		return f.texts(at, n, into)
	}
	if into.Kind() == reflect.Struct {
		return f.decode(at.file, n, into.Addr().Interface(), "")
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return at.refuse("a value is expected here")
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(n.Value)
		return nil
	case reflect.Bool:
		b, ok := map[string]bool{"true": true, "yes": true, "false": false, "no": false}[strings.ToLower(n.Value)]
		if !ok {
			return at.refuse("%q is neither true nor false", n.Value)
		}
		into.SetBool(b)
		return nil
	}
	if isTime {
		d, err := ParseLife(n.Value)
		if err != nil {
			return at.refuse("%q is no length of time: write 90s, 15m, 24h or 7d", n.Value)
		}
		into.SetInt(int64(d / time.Second))
		return nil
	}
	number, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return at.refuse("%q is no whole number", n.Value)
	}
	into.SetInt(number)
	return nil
}

// texts reads an object of texts by name.
func (f *File) texts(at place, n *yaml.Node, into reflect.Value) error {
	into.Set(reflect.MakeMap(into.Type()))
	return members(at.file, n, "this", func(name string, at place, value *yaml.Node) error {
		text := reflect.New(into.Type().Elem()).Elem()
		err := f.value(at, value, text, false)
		into.SetMapIndex(reflect.ValueOf(name), text)
		return err
	})
}

func (f *File) list(at place, n *yaml.Node, into reflect.Value) error {
	into.Set(reflect.MakeSlice(into.Type(), 0, len(n.Content)))
	return items(at.file, n, "this", func(at place, item *yaml.Node) error {
		element := reflect.New(into.Type().Elem()).Elem()
		err := f.value(at, item, element, false)
		into.Set(reflect.Append(into, element))
		return err
	})
}

// ParseLife reads a length of time as configurations have it: as [time.ParseDuration] does, or in days (7d). It is whole
// seconds.
func ParseLife(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	d, err := time.ParseDuration(text)
	if err == nil && d%time.Second != 0 {
		err = strconv.ErrSyntax
	}
	return d, err
}

// Life writes a length of time as short as [ParseLife] reads it.
func Life(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d == 0:
		return "0s"
	case d%(24*time.Hour) == 0:
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + "d"
	case d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return strconv.FormatInt(seconds, 10) + "s"
}
