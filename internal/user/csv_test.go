package user

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/tallystick/tallystick/internal/fault"
)

// told is an entry as text; what it does not say is a dash.
func told(e Entry) string {
	show := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	enabled := "-"
	if e.Enabled != nil {
		enabled = fmt.Sprint(*e.Enabled)
	}
	if e.Expiry != nil {
		enabled += " until " + showDay(*e.Expiry)
	}
	return fmt.Sprintf("%d %s|%s|%s|%s|%s", e.Line, e.ID, show(e.Name), show(e.Mail), enabled, strings.Join(e.Groups, ","))
}

// wide is a text in UTF-16 with a byte order mark.
func wide(text string, big bool) []byte {
	var out []byte
	for _, u := range append([]uint16{0xfeff}, utf16.Encode([]rune(text))...) {
		if big {
			out = append(out, byte(u>>8), byte(u))
		} else {
			out = append(out, byte(u), byte(u>>8))
		}
	}
	return out
}

func TestReadCSV(t *testing.T) {
	const plain = "user_id,name\nalice,Alice Ä.\n"
	for name, c := range map[string]struct {
		data []byte
		l    Layout
		want []string
	}{
		"plain":            {[]byte(plain), Layout{}, []string{"2 alice|Alice Ä.|-|-|"}},
		"byte order mark":  {[]byte("\xef\xbb\xbf" + plain), Layout{}, []string{"2 alice|Alice Ä.|-|-|"}},
		"UTF-16 LE":        {wide(plain, false), Layout{}, []string{"2 alice|Alice Ä.|-|-|"}},
		"UTF-16 BE":        {wide(plain, true), Layout{}, []string{"2 alice|Alice Ä.|-|-|"}},
		"UTF-16 unmarked":  {wide(plain, false)[2:], Layout{Encoding: UTF16}, []string{"2 alice|Alice Ä.|-|-|"}},
		"Windows-1252":     {[]byte("user;name\r\nalice;Alice \xc4.\r\n"), Layout{Encoding: Windows1252}, []string{"2 alice|Alice Ä.|-|-|"}},
		"semicolons":       {[]byte("Login;E-Mail\na,b;a@example.com\n"), Layout{}, []string{"2 a,b|-|a@example.com|-|"}},
		"tabs":             {[]byte("uid\tcn\nalice\tAlice, the first\n"), Layout{}, []string{"2 alice|Alice, the first|-|-|"}},
		"quotes and lines": {[]byte("user_id,name,groups\n\"o\"\"hara\",\"two\nlines\",\nbob,,\"a;b | a\"\n"), Layout{}, []string{"2 o\"hara|two\nlines|-|-|", "4 bob||-|-|a,b"}},
		"all fields":       {[]byte("active,groups,mail,name,user id\nNo,a;b, m@x ,N,u\n,,,,v\n"), Layout{}, []string{"2 u|N|m@x|false|a,b", "3 v|||-|"}},
		"a mapping": {[]byte("First,Last,Sign-in,Mail\nA,B,ab,\nC,,cd,\n"), Layout{Columns: map[Field]string{FieldID: "sign-IN", FieldName: "first + last", FieldMail: "#4"}},
			[]string{"2 ab|A B||-|", "3 cd|C||-|"}},
		"no header":   {[]byte("alice,x\nbob,y\n"), Layout{NoHeader: true, Columns: map[Field]string{FieldID: "#1", FieldName: "#2"}}, []string{"1 alice|x|-|-|", "2 bob|y|-|-|"}},
		"last days":   {[]byte("user_id,Last day\na,2026-12-31\nb,\n"), Layout{}, []string{"2 a|-|-|- until 2026-12-31|", "3 b|-|-|- until |"}},
		"a delimiter": {[]byte("user_id:name\na:b\n"), Layout{Delimiter: ':'}, []string{"2 a|b|-|-|"}},
	} {
		entries, _, err := ReadCSV(c.data, c.l)
		var got []string
		for _, e := range entries {
			got = append(got, told(e))
		}
		if err != nil || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestReadCSVRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		l    Layout
		code fault.Code
	}{
		"empty":             {"", Layout{}, fault.ImportFormat},
		"only titles":       {"user_id,name\n", Layout{}, fault.ImportFormat},
		"no ID":             {"name\nalice\n", Layout{}, fault.ImportFormat},
		"a short line":      {"user_id,name\nalice\n", Layout{}, fault.ImportFormat},
		"an open quote":     {"user_id,name\n\"alice,x\n", Layout{}, fault.ImportFormat},
		"a stray quote":     {"user_id,name\nal\"ice,x\n", Layout{}, fault.ImportFormat},
		"another encoding":  {"user_id\nJ\xfcrgen\n", Layout{}, fault.ImportFormat},
		"a zero byte":       {"user_id\na\x00b\n", Layout{}, fault.ImportFormat},
		"half of UTF-16":    {"\xff\xfea", Layout{}, fault.ImportFormat},
		"half a character":  {string(wide("user_id\nal", false)) + "\x3d\xd8", Layout{}, fault.ImportFormat},
		"neither yes nor":   {"user_id,enabled\nalice,perhaps\n", Layout{}, fault.ImportFormat},
		"no day":            {"user_id,expiry\nalice,31.12.2026\n", Layout{}, fault.ImportFormat},
		"no such column":    {"user_id\nalice\n", Layout{Columns: map[Field]string{FieldName: "Name"}}, fault.ImportFormat},
		"no such number":    {"user_id\nalice\n", Layout{Columns: map[Field]string{FieldName: "#2"}}, fault.ImportFormat},
		"no such field":     {"user_id\nalice\n", Layout{Columns: map[Field]string{"phone": "#1"}}, fault.Invalid},
		"no such encoding":  {"user_id\nalice\n", Layout{Encoding: "ebcdic"}, fault.Invalid},
		"no such delimiter": {"user_id\nalice\n", Layout{Delimiter: '"'}, fault.Invalid},
	} {
		if entries, _, err := ReadCSV([]byte(c.data), c.l); !errors.Is(err, c.code) || entries != nil {
			t.Errorf("%s: %v, %v", name, entries, err)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("user_id,name\n\"a\",b\n"))
	f.Add(wide("user;mail\na;b@c\n", true))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _, err := ReadCSV(data, Layout{})
		if err != nil && fault.CodeOf(err) == "" {
			t.Errorf("%q: %v is no refusal", data, err)
		}
		if err == nil && len(entries) == 0 {
			t.Errorf("%q: nobody", data)
		}
	})
}
