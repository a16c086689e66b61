package backup

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"github.com/tallystick/tallystick/internal/fault"
)

// tables are a database that exists in memory.
type tables map[string][][]any

var things = Table{"thing", []Column{{"name", Text}, {"size", Number}, {"data", Bytes}}}

func (t tables) Snapshot(ctx context.Context, do func(context.Context, Snapshot) error) error {
	return do(ctx, t)
}

func (tables) Schema() Schema {
	return Schema{[]int64{1, 3}, []Table{{"empty", []Column{{"n", Number}}}, things}}
}

func (t tables) Rows(_ context.Context, of Table, each func([]any) error) error {
	for _, row := range t[of.Name] {
		if err := each(row); err != nil {
			return err
		}
	}
	return nil
}

type hasher string

func (h hasher) MAC(purpose string, parts ...[]byte) []byte {
	return fmt.Appendf(nil, "%s/%s/%q", h, purpose, parts)
}

// identity is fast, unlike a password.
var identity = func() *age.X25519Identity {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		panic(err)
	}
	return i
}()

func write(t testing.TB, from Source, o Options) []byte {
	t.Helper()
	if o.To == nil {
		o.To = []age.Recipient{identity.Recipient()}
	}
	o.Keys = hasher("ours")
	o.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	var out bytes.Buffer
	if err := Write(t.Context(), &out, from, o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readAll reads a backup as far as it is one.
func readAll(r *Reader) (tables, error) {
	all := tables{}
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		for err == nil {
			var row []any
			if row, err = r.Row(); err == nil {
				all[t.Name] = append(all[t.Name], row)
			}
		}
		if !errors.Is(err, io.EOF) {
			return all, err
		}
	}
}

func read(data []byte) (*Reader, tables, error) {
	r, err := NewReader(bytes.NewReader(data), identity)
	if err != nil {
		return nil, nil, err
	}
	all, err := readAll(r)
	return r, all, err
}

// What is written is what is read, whatever it is.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		row := rapid.Custom(func(rt *rapid.T) []any {
			row := []any{rapid.String().Draw(rt, "name"), rapid.Int64().Draw(rt, "size"), rapid.SliceOf(rapid.Byte()).Draw(rt, "data")}
			if i := rapid.IntRange(0, 6).Draw(rt, "null"); i < 3 {
				row[i] = nil
			}
			return row
		})
		want := tables{}
		if rows := rapid.SliceOf(row).Draw(rt, "rows"); len(rows) > 0 {
			want["thing"] = rows
		}
		r, got, err := read(write(t, want, Options{Master: "m", Files: map[string][]byte{"ca.pem": {1}}}))
		if err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("wrote %v, read %v", want, got)
		}
		h := r.Header()
		if h.Master != "m" || len(h.Files) != 1 || !reflect.DeepEqual(h.Schema, want.Schema()) || h.TakenAt.Year() != 2026 {
			rt.Errorf("header %+v", h)
		}
		if c := r.Contents(); c.Tables[1].Rows != int64(len(want["thing"])) || c.Tables[0].Rows != 0 {
			rt.Errorf("contents %+v", c)
		}
		if !r.MadeBy(hasher("ours")) || r.MadeBy(hasher("another")) {
			rt.Error("who made it is not told")
		}
	})
}

// No part of a backup, and no changed one, is taken for it.
func TestDamage(t *testing.T) {
	var rows [][]any
	for i := range int64(200) {
		rows = append(rows, []any{"some thing", i, bytes.Repeat([]byte{byte(i), 77}, 400)})
	}
	whole := write(t, tables{"thing": rows}, Options{})
	if _, _, err := read(whole); err != nil {
		t.Fatal(err)
	}
	refused := func(how string, data []byte) {
		t.Helper()
		if _, _, err := read(data); !errors.Is(err, fault.BackupFormat) && !errors.Is(err, fault.BackupKey) {
			t.Errorf("%s: %v", how, err)
		}
	}
	for n := 0; n < len(whole); n += 1 + n/7 {
		refused(fmt.Sprintf("cut at %d", n), whole[:n])
		flipped := bytes.Clone(whole)
		flipped[n] ^= 1
		refused(fmt.Sprintf("flipped at %d", n), flipped)
	}
	refused("one byte short", whole[:len(whole)-1])
	refused("one byte more", append(bytes.Clone(whole), 0))
	for how, data := range map[string][]byte{"nothing": nil, "text": []byte("hello")} {
		refused(how, data)
	}
}

// Whoever seals something else to the same key is found out.
func TestWhatIsNoBackup(t *testing.T) {
	good := `{"format":"tallystick-backup","version":1,"schema":{"migrations":[1],"tables":[{"name":"t","columns":[{"name":"c","kind":"text"}]}]}}`
	end := `{"tables":[{"name":"t","rows":1,"sha256":"IVTb2Hk0o24q4RxDGhgwsSmcpOPe5/iUWv8ys6sOkKo="}],"mac":"AAAA"}`
	for name, lines := range map[string]string{
		"empty": "", "no header": "hello\n", "another format": `{"format":"x"}` + "\n", "no end": good + "\n[\"a\"]\n\n",
		"wrong count": good + "\n\n" + end + "\n", "no row": good + "\n{}\n\n" + end + "\n", "a row of two": good + "\n[\"a\",\"b\"]\n\n" + end + "\n",
		"a number": good + "\n[1]\n\n" + end + "\n", "more": good + "\n[\"a\"]\n\n" + end + "\nmore\n",
	} {
		r, err := open(bytes.NewReader(pack(t, []byte(lines))))
		if err == nil {
			_, err = readAll(r)
		}
		if !errors.Is(err, fault.BackupFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := open(bytes.NewReader(pack(t, []byte(`{"format":"tallystick-backup","version":2,"release":"v9"}`+"\n"))))
	if !errors.Is(err, fault.SchemaNewer) {
		t.Errorf("a newer version: %v", err)
	}
}

func pack(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What a table holds that its columns do not allow is an error, and no backup.
func TestWhatCannotBeWritten(t *testing.T) {
	for name, row := range map[string][]any{
		"a float": {"x", 1.5, nil}, "a text for a number": {"x", "1", nil}, "bytes for a text": {[]byte("x"), int64(1), nil}, "no UTF-8": {"\xff", int64(1), nil},
	} {
		var out bytes.Buffer
		err := Write(t.Context(), &out, tables{"thing": {row}}, Options{To: []age.Recipient{identity.Recipient()}, Keys: hasher("x"), Now: time.Now})
		if err == nil {
			t.Errorf("%s was written", name)
		}
		if _, _, err := read(out.Bytes()); err == nil {
			t.Errorf("%s: what was written before the error is read as a backup", name)
		}
	}
}

// Whoever made a backup says what its files are called, and they are written into the data folder of a server.
func TestFilesOfOtherNames(t *testing.T) {
	for _, name := range []string{"", "../ca.pem", "/etc/cron.d/x", "tallystick.db-wal", "server-id"} {
		sealed := write(t, tables{}, Options{Files: map[string][]byte{name: {1}}})
		if _, err := NewReader(bytes.NewReader(sealed), identity); !errors.Is(err, fault.BackupFormat) {
			t.Errorf("a backup with a file %q: %v", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	if _, err := ForPassword("seven77"); !errors.Is(err, fault.PasswordTooWeak) {
		t.Errorf("a short password: %v", err)
	}
	to, err := ForPassword("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	sealed := write(t, tables{}, Options{To: []age.Recipient{to}})
	for password, want := range map[string]error{"correct horse": nil, "correct house": fault.BackupKey} {
		i, err := ByPassword(password)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewReader(bytes.NewReader(sealed), i); !errors.Is(err, want) {
			t.Errorf("%s: %v", password, err)
		}
	}
	private, public, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if to, err = ForKey(public); err != nil {
		t.Fatal(err)
	}
	sealed = write(t, tables{}, Options{To: []age.Recipient{to}})
	ours, err := ByKeys([]byte("# a comment\n" + private + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewReader(bytes.NewReader(sealed), ours...); err != nil {
		t.Error(err)
	}
	if _, err := NewReader(bytes.NewReader(sealed), identity); !errors.Is(err, fault.BackupKey) {
		t.Errorf("another key: %v", err)
	}
	for _, key := range []string{"", "age1", private, public + "\n" + public} {
		if _, err := ForKey(key); !errors.Is(err, fault.Invalid) {
			t.Errorf("%q as a public key: %v", key[:min(8, len(key))], err)
		}
	}
	if _, err := ByKeys([]byte(public)); !errors.Is(err, fault.BackupKey) {
		t.Errorf("a public key as a private one: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	var plain bytes.Buffer
	sealed := write(f, tables{"thing": {{"a \"b\"", int64(-1), []byte{0}}, {nil, nil, nil}}}, Options{})
	opened, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if err == nil {
		var unpacked *gzip.Reader
		if unpacked, err = gzip.NewReader(opened); err == nil {
			_, err = io.Copy(&plain, unpacked)
		}
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes())
	f.Fuzz(func(t *testing.T, lines []byte) {
		r, err := open(bytes.NewReader(pack(t, lines)))
		if err != nil {
			return
		}
		all, err := readAll(r)
		if err != nil {
			return
		}
		for _, c := range r.Contents().Tables {
			if int64(len(all[c.Name])) != c.Rows && len(r.Header().Schema.Tables) == len(all) {
				t.Errorf("%d rows of %s, said to be %d", len(all[c.Name]), c.Name, c.Rows)
			}
		}
	})
}
