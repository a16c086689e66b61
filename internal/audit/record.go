package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Record returns the event as the log keeps and hashes it: one line of JSON
// with members in fixed order and the time in UTC. It is what json.Marshal
// makes of the event, in a fifth of the time.
func (e Event) Record() ([]byte, error) { return e.appendRecord(make([]byte, 0, usualRecord)) }

func (e Event) appendRecord(b []byte) ([]byte, error) {
	at := e.At.UTC()
	if year := at.Year(); year < 0 || year > 9999 {
		return nil, fmt.Errorf("audit event of %s: the year %d cannot be written", e.Action, year)
	}
	b = appendText(append(b, `{"id":`...), e.ID)
	b = append(at.AppendFormat(append(b, `,"at":"`...), time.RFC3339Nano), '"')
	b = appendMember(b, `,"node":`, e.Node)
	b = appendText(append(b, `,"actor":`...), e.Actor.Name)
	b = appendMember(b, `,"role":`, e.Role)
	b = appendMember(b, `,"client":`, e.Client)
	b = appendText(append(b, `,"action":`...), e.Action)
	b = appendText(append(b, `,"object":`...), e.Object)
	b = appendText(append(b, `,"outcome":`...), e.Outcome)
	b = appendMember(b, `,"reason":`, e.Reason)
	if len(e.Details) > 0 {
		var err error
		if b, err = appendObject(append(b, `,"details":`...), e.Details); err != nil {
			return nil, fmt.Errorf("audit event of %s: %w", e.Action, err)
		}
	}
	return append(appendMember(b, `,"correlation_id":`, e.Correlation), '}'), nil
}

// appendMember writes a member that is left out when empty.
func appendMember(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return appendText(append(b, name...), text)
}

// appendText writes a string. What has to be escaped is left to package json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c == 0x7f {
			escaped, _ := json.Marshal(s) // a string always can
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendObject(b []byte, members map[string]any) ([]byte, error) {
	b = append(b, '{')
	var err error
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(append(appendText(b, name), ':'), members[name]); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case string:
		return appendText(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	}
	other, err := json.Marshal(v)
	return append(b, other...), err
}
