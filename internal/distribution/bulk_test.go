package distribution_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"context"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/tallystick/tallystick/ctf"
	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
	"github.com/tallystick/tallystick/internal/user"
	"github.com/tallystick/tallystick/sdtid"
	"github.com/tallystick/tallystick/securid"
)

// A crew is a world whose jobs are done when the test says so.
type crew struct {
	*world
	jobs    *job.Registry
	results *distribution.Results
	holders map[string]string // users by serial
}

// newCrew has so many tokens of as many users.
func newCrew(t *testing.T, n int) *crew {
	t.Helper()
	w := newWorld(t)
	c := &crew{world: w, jobs: &job.Registry{Store: w.db, Keys: w.keys, Now: w.dist.Now}, holders: map[string]string{}}
	for _, worker := range w.dist.Workers() {
		c.jobs.Register(worker)
	}
	c.results = &distribution.Results{Distributor: w.dist, Jobs: c.jobs}
	serials, err := w.records.Create(w.ctx, n, time.Time{}, time.Time{})
	w.must(err)
	users := &user.Registry{Store: w.db, Now: w.dist.Now}
	for i, serial := range serials {
		id := fmt.Sprintf("user%03d", i)
		_, err := users.Add(w.ctx, user.User{ID: id, Name: "Name " + id, Mail: id + "@example.com"})
		w.must(err)
		_, err = w.tokens.Assign(w.ctx, serial, id)
		w.must(err)
		c.holders[serial] = id
	}
	return c
}

func (c *crew) serials() []string {
	var all []string
	for serial := range c.holders {
		all = append(all, serial)
	}
	slices.Sort(all)
	return all
}

// run does a job to its end.
func (c *crew) run(b distribution.Bulk, dryRun bool, serials ...string) job.Job {
	c.Helper()
	o, err := c.dist.Order(c.ctx, b)
	c.must(err)
	o.Items, o.DryRun = unseen(serials), dryRun
	c.Pass(time.Second) // for another name
	o.Name += " " + c.Now().Format(time.TimeOnly)
	j, err := c.jobs.Start(c.ctx, o)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))
	j, err = c.jobs.Show(c.ctx, j.ID)
	c.must(err)
	return j
}

// part downloads a part of a job.
func (c *crew) part(j job.Job, part distribution.Part) []byte {
	c.Helper()
	write, err := c.results.Open(c.ctx, j, part)
	c.must(err)
	var out bytes.Buffer
	c.must(write(&out))
	return out.Bytes()
}

// table reads a part as rows by serial, by the names of its columns.
func (c *crew) table(j job.Job, part distribution.Part) map[string]map[string]string {
	c.Helper()
	rows, err := csv.NewReader(bytes.NewReader(c.part(j, part))).ReadAll()
	c.must(err)
	found := map[string]map[string]string{}
	for _, row := range rows[1:] {
		cells := map[string]string{}
		for i, name := range rows[0] {
			cells[name] = row[i]
		}
		found[cells["serial"]] = cells
	}
	return found
}

// unseen are the items of tokens which nobody looked at before.
func unseen(serials []string) iter.Seq2[job.NewItem, error] {
	return func(yield func(job.NewItem, error) bool) {
		for _, serial := range serials {
			if !yield(job.NewItem{Key: serial, Input: []byte("\n{}")}, nil) {
				return
			}
		}
	}
}

// An item whose input was destroyed is refused: the device that it was bound to is not known any more.
func TestAnItemWithoutItsInputIsNotDelivered(t *testing.T) {
	c := newCrew(t, 2)
	c.profile("file", device.File, nil)
	order, err := c.dist.Order(c.ctx, distribution.Bulk{Profile: "file", Password: "correct horse", Grace: -1})
	c.must(err)
	all := c.serials()
	order.Items = func(yield func(job.NewItem, error) bool) {
		for item, err := range unseen(all) {
			if item.Key == all[0] {
				item.Input = nil
			}
			if !yield(item, err) {
				return
			}
		}
	}
	j, err := c.jobs.Start(c.ctx, order)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))
	if got := c.outcomes(c.shown(j)); got[all[0]] != "failed "+string(fault.JobExpired) || got[all[1]] != "done" {
		t.Errorf("delivered %v", got)
	}
}

// outcomes are what became of the items of a job: "done" or the code, by serial.
func (c *crew) outcomes(j job.Job) map[string]string {
	c.Helper()
	items, err := c.jobs.Items(c.ctx, j.ID, job.ItemFilter{})
	c.must(err)
	all := map[string]string{}
	for _, item := range items {
		all[item.Key] = strings.TrimSpace(string(item.State) + " " + string(item.Code))
	}
	return all
}

// accepted checks a passcode of the holder of a token.
func (c *crew) accepted(serial, code string, want authentication.Result) {
	c.Helper()
	got, err := c.auth.Check(c.ctx, c.holders[serial], code)
	if err != nil || got != want {
		c.Errorf("%s of %s: %s, %v, want %s", serial, c.holders[serial], got, err, want)
	}
}

// files are those of an archive.
func (c *crew) files(archive []byte) map[string][]byte {
	c.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	c.must(err)
	all := map[string][]byte{}
	for _, f := range z.File {
		in, err := f.Open()
		c.must(err)
		all[f.Name], err = io.ReadAll(in)
		c.must(err)
	}
	return all
}

// Files with a password each: every one opens with its own and no other's, and its codes are accepted.
func TestManyFilesWithIndividualPasswords(t *testing.T) {
	c := newCrew(t, 12)
	c.profile("file", device.File, nil)
	j := c.run(distribution.Bulk{Profile: "file", Individual: true, Grace: -1}, false, c.serials()...)
	if j.State != job.Done || j.Done != 12 || j.Kind != distribution.DistributeJob {
		t.Fatalf("the job ended as %+v", j)
	}
	passwords, list, files := c.table(j, distribution.Passwords), c.table(j, distribution.List), c.files(c.part(j, distribution.Files))
	if len(passwords) != 12 || len(list) != 12 || len(files) != 12 {
		t.Fatalf("%d passwords, %d rows, %d files", len(passwords), len(list), len(files))
	}
	seen := map[string]bool{}
	for serial, holder := range c.holders {
		name, password := holder+"_"+serial+".sdtid", passwords[serial]["password"]
		if list[serial]["file"] != name || list[serial]["user_id"] != holder || list[serial]["password"] != "" {
			t.Errorf("row of %s: %v", serial, list[serial])
		}
		if len(password) != 12 || seen[password] {
			t.Errorf("the password of %s has %d letters, or is another's too", serial, len(password))
		}
		seen[password] = true
		f, err := sdtid.Parse(files[name])
		c.must(err)
		if _, err := f.Open("another password"); err == nil {
			t.Errorf("%s opens with any password", name)
		}
		c.accepted(serial, c.code(files[name], password), authentication.Accepted)
		if tok := c.token(serial); tok.Distribution != token.Issued && tok.Distribution != token.Confirmed || tok.IssueCount != 1 || tok.Current.Number != 1 || tok.Profile != "file" {
			t.Errorf("%s is %+v", serial, tok)
		}
	}
	c.downloads(j.ID, distribution.Passwords, distribution.List, distribution.Files)
}

// An individual password leaves room for the user ID before it, in characters and in the bytes that a file or string takes.
func TestIndividualPasswordsBesideUserIDs(t *testing.T) {
	for method, ids := range map[device.Method]map[string]int{ // with the length of the password
		device.File: {"alice.wonderland": 8, "елена": 12, "елена.орлова": 9, "李小龙李小龙李小": 8},
		device.CTF:  {"елена.орлова": 12, "李小龙李小龙李小龙李": 10},
	} {
		c := newCrew(t, len(ids))
		c.profile("named", method, func(p *profile.Profile) { p.Protection = profile.UserIDPassword })
		users := &user.Registry{Store: c.db, Now: c.dist.Now}
		serials, i := c.serials(), 0
		for id := range ids {
			_, err := users.Add(c.ctx, user.User{ID: id})
			c.must(err)
			_, err = c.tokens.Unassign(c.ctx, serials[i], 0)
			c.must(err)
			_, err = c.tokens.Assign(c.ctx, serials[i], id)
			c.must(err)
			i++
		}
		j := c.run(distribution.Bulk{Profile: "named", Individual: true, Grace: -1}, false, serials...)
		if j.State != job.Done {
			t.Fatalf("%s: %v", method, c.outcomes(j))
		}
		for _, row := range c.table(j, distribution.Passwords) {
			if id := row["user_id"]; len(strings.TrimPrefix(row["password"], id)) != ids[id] { // it is typed behind the ID
				t.Errorf("%s: %s has a password of %d letters, want %d", method, id, len(strings.TrimPrefix(row["password"], id)), ids[id])
			}
		}
	}
}

// The list of passwords has what opens the files, and so has the post: with the user ID before it where that is part of what locks.
func TestPasswordsOfManyAreWhatIsTyped(t *testing.T) {
	for _, how := range []profile.Protection{profile.Password, profile.UserIDPassword} {
		c := newCrew(t, 2)
		c.profile("file", device.File, func(p *profile.Profile) { p.Protection = how })
		box := &letterBox{}
		c.dist.Post = box
		j := c.run(distribution.Bulk{Profile: "file", Individual: true, Grace: -1}, false, c.serials()...)
		passwords, files := c.table(j, distribution.Passwords), c.files(c.part(j, distribution.Files))
		for serial, holder := range c.holders {
			c.code(files[holder+"_"+serial+".sdtid"], passwords[serial]["password"])
		}
		c.run(distribution.Bulk{Profile: "file", Password: "correct horse", Grace: -1, Mail: true, SecretBy: "mail"}, false, c.serials()...)
		if len(box.posted) != 2 {
			t.Errorf("%s: posted %d", how, len(box.posted))
		}
		for _, p := range box.posted {
			c.code(p.File, p.Lock)
		}
	}
}

// A letterBox takes deliveries and keeps them.
type letterBox struct {
	posted []distribution.Posted
	unable []string // who cannot sign in
}

func (b *letterBox) Ready(context.Context, string) error { return nil }
func (b *letterBox) Reaches(user.User) error             { return nil }
func (b *letterBox) Deliver(_ context.Context, all []distribution.Posted, _ string) ([]string, error) {
	b.posted = append(b.posted, all...)
	return nil, nil
}

func (b *letterBox) CannotSignIn(_ context.Context, all []distribution.Posted, _ string) ([]string, error) {
	return b.unable, nil
}

// Who cannot sign in for what is held for her is warned of, unless a worse warning is there already.
func TestWhoCannotSignIn(t *testing.T) {
	c := newCrew(t, 3)
	c.profile("phone", device.CTKIP, nil)
	all := c.serials()
	_, err := c.tokens.Disable(c.ctx, all[2], 0)
	c.must(err)
	c.dist.Post = &letterBox{unable: []string{c.holders[all[0]], c.holders[all[2]]}}
	j := c.run(distribution.Bulk{Profile: "phone", Grace: -1, Mail: true, SecretBy: "sign_in"}, false, all...)
	c.became(c.outcomes(j), map[string]string{all[0]: "done CANNOT_SIGN_IN", all[1]: "done", all[2]: "done DISABLED"})
	items, err := c.jobs.Items(c.ctx, j.ID, job.ItemFilter{})
	c.must(err)
	if items[0].Message != distribution.CannotSignIn || items[1].Message != "" {
		t.Errorf("items %+v", items)
	}
}

// downloads looks for the events of downloads of a job.
func (c *crew) downloads(id string, parts ...distribution.Part) {
	c.Helper()
	page, err := c.db.Events(c.ctx, audit.Filter{Object: "job:" + id, Limit: 1000})
	c.must(err)
	var found []distribution.Part
	for _, entry := range page.Entries {
		e, err := audit.ParseRecord(entry.Record)
		c.must(err)
		if e.Action == "dist.download" {
			found = append(found, distribution.Part(fmt.Sprint(e.Details["part"])))
		}
	}
	slices.Sort(found)
	slices.Sort(parts)
	if !slices.Equal(found, parts) {
		c.Errorf("downloads that are recorded: %v, want %v", found, parts)
	}
}

// Strings of a job open with the one password of all; the sheets hold the same strings as QR codes.
func TestManyStringsAndTheirSheets(t *testing.T) {
	c := newCrew(t, 9) // of which one begins a second page
	c.profile("string", device.CTF, nil)
	j := c.run(distribution.Bulk{Profile: "string", Password: "correct horse", Grace: -1}, false, c.serials()...)
	list := c.table(j, distribution.List)
	var urls []string
	for _, serial := range c.serials() {
		row := list[serial]
		s, err := ctf.Parse(row["ctf_url"])
		c.must(err)
		tok, err := s.Open("correct horse", "")
		c.must(err)
		code, err := securid.Code(tok.Seed, serial, tok.Digits, tok.Interval, c.Now())
		c.must(err)
		c.accepted(serial, code, authentication.Accepted)
		urls = append(urls, row["ctf_url"])
	}
	codes, text := c.sheets(c.part(j, distribution.Sheets))
	if !slices.Equal(codes, urls) {
		t.Errorf("the sheets hold %q, want %q", codes, urls)
	}
	for serial, holder := range c.holders {
		if !strings.Contains(text, "("+serial+")") || !strings.Contains(text, "("+holder+")") || strings.Contains(text, "horse") {
			t.Errorf("the sheets say %q", text)
		}
	}
	if _, err := c.results.Open(c.ctx, j, distribution.Passwords); !errors.Is(err, fault.NotFound) {
		t.Errorf("a list of passwords where there is one for all: %v", err)
	}
}

// sheets reads the QR codes of a document, and what its pages say besides.
func (c *crew) sheets(document []byte) (codes []string, text string) {
	c.Helper()
	if !bytes.HasPrefix(document, []byte("%PDF-1.4")) || !bytes.HasSuffix(document, []byte("%%EOF\n")) {
		c.Fatalf("this is no PDF document: %.20q", document)
	}
	// The table at the end says where each object is.
	start, err := strconv.Atoi(string(regexp.MustCompile(`startxref\n(\d+)`).FindSubmatch(document)[1]))
	c.must(err)
	for n, at := range regexp.MustCompile(`(?m)^(\d{10}) 00000 n $`).FindAllSubmatch(document[start:], -1) {
		offset, _ := strconv.Atoi(string(at[1]))
		if want := fmt.Sprintf("%d 0 obj\n", n+1); !bytes.HasPrefix(document[offset:], []byte(want)) {
			c.Errorf("object %d is not where the table says", n+1)
		}
	}
	for _, at := range regexp.MustCompile(`/Length (\d+) /Filter /FlateDecode>> stream\n`).FindAllSubmatchIndex(document, -1) {
		length, _ := strconv.Atoi(string(document[at[2]:at[3]]))
		z, err := zlib.NewReader(bytes.NewReader(document[at[1] : at[1]+length]))
		c.must(err)
		page, err := io.ReadAll(z)
		c.must(err)
		text += string(page)
		for _, code := range regexp.MustCompile(`/W (\d+) /H \d+ /BPC 1 /CS /G /F /AHx ID\n([0-9a-f]+)>`).FindAllSubmatch(page, -1) {
			side, _ := strconv.Atoi(string(code[1]))
			bits, err := hex.DecodeString(string(code[2]))
			c.must(err)
			codes = append(codes, c.read(side, bits))
		}
	}
	return codes, text
}

// read reads a QR code of a picture with a bit for each module.
func (c *crew) read(side int, bits []byte) string {
	c.Helper()
	const scale = 4
	img := image.NewGray(image.Rect(0, 0, side*scale, side*scale))
	for y := range side * scale {
		for x := range side * scale {
			if bits[y/scale*((side+7)/8)+x/scale/8]&(0x80>>(x/scale%8)) != 0 {
				img.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	c.must(err)
	got, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
	c.must(err)
	return got.GetText()
}

// Activation codes of a job, and again for those who did not use them: each offer revokes the one before.
func TestManyActivationCodesAndAgain(t *testing.T) {
	c := newCrew(t, 5)
	c.profile("dynamic", device.CTKIP, nil)
	first := c.table(c.run(distribution.Bulk{Profile: "dynamic", Grace: -1}, false, c.serials()...), distribution.List)
	again := c.run(distribution.Bulk{Profile: "dynamic", Grace: -1}, false, c.serials()...)
	second := c.table(again, distribution.List)
	codes := map[string]bool{}
	for _, serial := range c.serials() {
		one, two := first[serial], second[serial]
		if one["activation_code"] == two["activation_code"] || two["link"] == "" || two["ctkip_url"] == "" || two["activation_expires"] == "" {
			t.Errorf("%s was offered %v and %v", serial, one, two)
		}
		codes[two["activation_code"]] = true
		offer, err := c.db.OpenOffer(c.ctx, serial)
		c.must(err)
		if offer.Correlation != again.ID {
			t.Errorf("the open offer of %s is not the last one", serial)
		}
	}
	if len(codes) != 5 {
		t.Errorf("%d codes of 5 tokens", len(codes))
	}
}

// Each token that cannot be delivered fails alone, with its code; what warns does not stop it. A dry run says the same of each and
// changes nothing.
func TestEachTokenFailsAlone(t *testing.T) {
	c := newCrew(t, 6)
	c.profile("file", device.File, func(p *profile.Profile) { p.Protection = profile.UserIDPassword })
	all := c.serials()
	spare, err := c.records.Create(c.ctx, 1, time.Time{}, time.Time{})
	c.must(err)
	users := &user.Registry{Store: c.db, Now: c.dist.Now}
	long := strings.Repeat("long", 5)
	_, err = users.Add(c.ctx, user.User{ID: long})
	c.must(err)
	_, err = c.tokens.Unassign(c.ctx, all[1], 0)
	c.must(err)
	_, err = c.tokens.Assign(c.ctx, all[1], long)
	c.must(err)
	_, err = c.tokens.Disable(c.ctx, all[2], 0)
	c.must(err)
	old := c.token(all[3])
	old.EffectiveExpiry = c.Now().AddDate(0, 0, -2)
	c.must(c.db.SaveToken(c.ctx, old))
	key, err := c.records.Create(c.ctx, 1, time.Time{}, time.Time{})
	c.must(err)
	hardware := c.token(key[0])
	hardware.Hardware = true
	c.must(c.db.SaveToken(c.ctx, hardware))
	_, err = c.tokens.Assign(c.ctx, key[0], "user000")
	c.must(err)
	keys := append(slices.Clone(all), key[0], spare[0], "999999999999", "nonsense")
	want := map[string]string{
		all[0]: "done", all[1]: "failed PASSWORD_TOO_LONG", all[2]: "done DISABLED", all[3]: "failed EXPIRED", all[4]: "done", all[5]: "done",
		key[0]: "failed NOT_SOFTWARE", spare[0]: "failed NOT_ASSIGNED", "999999999999": "failed TOKEN_NOT_FOUND", "nonsense": "failed TOKEN_NOT_FOUND",
	}
	bulk := distribution.Bulk{Profile: "file", Password: "correct horse", Grace: -1}
	dry := c.run(bulk, true, keys...)
	for _, serial := range all {
		if tok := c.token(serial); tok.IssueCount != 0 || tok.Distribution != token.NotDistributed || tok.Current.Delivered {
			t.Errorf("the dry run changed %+v", tok)
		}
	}
	if _, err := c.results.Open(c.ctx, dry, distribution.Files); !errors.Is(err, fault.NotFound) {
		t.Errorf("a dry run left files: %v", err)
	}
	j := c.run(bulk, false, keys...)
	for name, ran := range map[string]job.Job{"dry run": dry, "run": j} {
		if ran.State != job.DoneWithErrors || ran.Done != 4 || ran.Failed != 6 {
			t.Errorf("%s: %+v", name, ran)
		}
		for key, got := range c.outcomes(ran) {
			if got != want[key] {
				t.Errorf("%s: %s is %s, want %s", name, key, got, want[key])
			}
		}
	}
	if files := c.files(c.part(j, distribution.Files)); len(files) != 4 {
		t.Errorf("%d files", len(files))
	}
}

// A job goes on by the method that it began with, or not at all: what it leaves can be fetched.
func TestProfileThatChangesDuringAJob(t *testing.T) {
	c := newCrew(t, 3)
	c.profile("file", device.File, nil)
	c.profile("next", device.File, nil)
	all := c.serials()
	o, err := c.dist.Order(c.ctx, distribution.Bulk{Profile: "file", Individual: true, Grace: -1})
	c.must(err)
	o.Items, o.Rate = unseen(all), 1
	j, err := c.jobs.Start(c.ctx, o)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))
	_, err = c.profiles.Edit(c.ctx, "file", 0, func(p *profile.Profile) { p.Method = device.CTF })
	c.must(err)
	c.Pass(time.Second)
	c.must(c.jobs.RunAll(c.ctx))
	j, err = c.jobs.Show(c.ctx, j.ID)
	c.must(err)
	if got := c.outcomes(j); got[all[0]] != "done" || got[all[1]] != "failed CONFLICT" {
		t.Errorf("outcomes %v", got)
	}
	c.must(c.profiles.Delete(c.ctx, "file", "next"))
	c.Pass(time.Second)
	c.must(c.jobs.RunAll(c.ctx))
	j, err = c.jobs.Show(c.ctx, j.ID)
	c.must(err)
	items, err := c.jobs.Items(c.ctx, j.ID, job.ItemFilter{After: 2})
	c.must(err)
	if got := items[0]; got.Code != fault.ProfileNotFound || !strings.Contains(got.Message, "start another job") {
		t.Errorf("after the profile was deleted: %+v", got)
	}
	if tok := c.token(all[1]); tok.Distribution != token.NotDistributed {
		t.Errorf("the other token is %s", tok.Distribution)
	}
	if files := c.files(c.part(j, distribution.Files)); len(files) != 1 {
		t.Errorf("%d files", len(files))
	}
}

// Orders that would be refused for every token are refused at once.
func TestOrdersAreRefusedAtOnce(t *testing.T) {
	c := newCrew(t, 1)
	c.profile("file", device.File, func(p *profile.Profile) { p.Protection = profile.Password })
	c.profile("open", device.File, func(p *profile.Profile) { p.Protection = profile.NoPassword })
	c.profile("dynamic", device.CTKIP, nil)
	for name, x := range map[string]struct {
		bulk distribution.Bulk
		code fault.Code
	}{
		"no profile":         {distribution.Bulk{Profile: "none"}, fault.ProfileNotFound},
		"no password":        {distribution.Bulk{Profile: "file"}, fault.PasswordRequired},
		"short":              {distribution.Bulk{Profile: "file", Password: "short"}, fault.PasswordTooWeak},
		"both":               {distribution.Bulk{Profile: "file", Password: "correct horse", Individual: true}, fault.Invalid},
		"dynamic":            {distribution.Bulk{Profile: "dynamic", Individual: true}, fault.Invalid},
		"without protection": {distribution.Bulk{Profile: "open", Individual: true}, fault.Invalid},
		"user ID, one":       {distribution.Bulk{Profile: "file", Protection: profile.UserID, Password: "correct horse"}, fault.Invalid},
		"user ID, each":      {distribution.Bulk{Profile: "file", Protection: profile.UserID, Individual: true}, fault.Invalid},
		"none, one":          {distribution.Bulk{Profile: "open", Password: "correct horse"}, fault.Invalid},
		"no reason in words": {distribution.Bulk{Profile: "open", Reason: distribution.Other}, fault.ReasonRequired},
		"unknown reason":     {distribution.Bulk{Profile: "open", Reason: "BORED"}, fault.ReasonRequired},
	} {
		if _, err := c.dist.Order(c.ctx, x.bulk); !errors.Is(err, x.code) {
			t.Errorf("%s: %v, want %s", name, err, x.code)
		}
	}
}

// Redistribution of all with a switch-over on activation leaves everybody able to sign in before and after, and what a
// job kept of a seed goes with the seed.
func TestInvariant02AllMoveToTheirNewSeeds(t *testing.T) {
	c := newCrew(t, 4)
	c.profile("file", device.File, func(p *profile.Profile) { p.SwitchOver, p.Grace = profile.OnActivation, 48*time.Hour })
	first := c.run(distribution.Bulk{Profile: "file", Password: "first password", Grace: -1}, false, c.serials()...)
	old := c.files(c.part(first, distribution.Files))
	second := c.run(distribution.Bulk{Profile: "file", Password: "second password", Grace: -1, Reason: distribution.ChangeAttributes}, false, c.serials()...)
	if second.Kind != distribution.RedistributeJob || second.Done != 4 {
		t.Fatalf("%+v", second)
	}
	fresh := c.files(c.part(second, distribution.Files))
	name := func(serial string) string { return c.holders[serial] + "_" + serial + ".sdtid" }
	for _, serial := range c.serials()[:3] { // the last one does not move
		c.accepted(serial, c.code(old[name(serial)], "first password"), authentication.Accepted)
		c.Pass(time.Minute)
		c.accepted(serial, c.code(fresh[name(serial)], "second password"), authentication.Accepted)
		c.Pass(time.Minute)
		c.accepted(serial, c.code(old[name(serial)], "first password"), authentication.Denied)
	}
	if again := c.files(c.part(second, distribution.Files)); len(again) != 4 {
		t.Errorf("the second job lost %d seeds, of which all live", 4-len(again))
	}
	last := c.serials()[3]
	c.accepted(last, c.code(old[name(last)], "first password"), authentication.Accepted)
	if left := c.files(c.part(first, distribution.Files)); len(left) != 1 || left[name(last)] == nil {
		t.Errorf("the first job still holds %d seeds, of which three are destroyed", len(left))
	}
	c.gone(first, 3)
	c.gone(second, 0)
	c.Pass(48 * time.Hour)
	c.accepted(last, c.code(old[name(last)], "first password"), authentication.Denied)
	c.accepted(last, c.code(fresh[name(last)], "second password"), authentication.Accepted)
	if _, err := c.results.Parts(c.ctx, first); err != nil {
		t.Error(err)
	}
	c.gone(first, 4)
	if _, err := c.results.Open(c.ctx, first, distribution.List); !errors.Is(err, fault.JobExpired) {
		t.Errorf("a list of nothing: %v", err)
	}
	c.must(c.jobs.CleanUp(c.ctx))
	if _, err := c.results.Open(c.ctx, c.shown(first), distribution.Files); !errors.Is(err, fault.JobExpired) {
		t.Errorf("results outlived their day: %v", err)
	}
}

// gone counts what is gone of what a job made.
func (c *crew) gone(j job.Job, want int) {
	c.Helper()
	if n, err := c.results.Gone(c.ctx, j); err != nil || n != want {
		c.Errorf("%d deliveries are gone, %v, want %d", n, err, want)
	}
}

func (c *crew) shown(j job.Job) job.Job {
	c.Helper()
	j, err := c.jobs.Show(c.ctx, j.ID)
	c.must(err)
	return j
}

// A reason that tells of a stranger with the seed stops it at once, whatever was asked for.
func TestCompromisedSeedsStopAtOnce(t *testing.T) {
	for _, reason := range []distribution.Reason{distribution.Compromised, distribution.LostDevice} {
		c := newCrew(t, 2)
		c.profile("file", device.File, func(p *profile.Profile) { p.SwitchOver = profile.OnActivation })
		old := c.files(c.part(c.run(distribution.Bulk{Profile: "file", Password: "first password", Grace: -1}, false, c.serials()...), distribution.Files))
		c.run(distribution.Bulk{Profile: "file", Password: "second password", Grace: -1, Reason: reason, SwitchOver: profile.OnActivation}, false, c.serials()...)
		for _, serial := range c.serials() {
			c.accepted(serial, c.code(old[c.holders[serial]+"_"+serial+".sdtid"], "first password"), authentication.Denied)
		}
	}
}

// What a spreadsheet would take for a formula is no formula in our tables.
func TestTablesHoldNoFormulas(t *testing.T) {
	c := newCrew(t, 1)
	c.profile("string", device.CTF, nil)
	users := &user.Registry{Store: c.db, Now: c.dist.Now}
	serial := c.serials()[0]
	_, err := c.tokens.Unassign(c.ctx, serial, 0)
	c.must(err)
	_, err = users.Add(c.ctx, user.User{ID: "@evil", Name: `=HYPERLINK("http://example.com");=1+1`})
	c.must(err)
	_, err = c.tokens.Assign(c.ctx, serial, "@evil")
	c.must(err)
	row := c.table(c.run(distribution.Bulk{Profile: "string", Grace: -1}, false, serial), distribution.List)[serial]
	if row["user_id"] != "'@evil" || row["user_name"] != `'=HYPERLINK("http://example.com");'=1+1` {
		t.Errorf("the row is %v", row)
	}
}

// A password is in its list as it is typed, also behind a user ID that begins like a formula, unless that could call something.
func TestPasswordsBehindUserIDsThatBeginLikeFormulas(t *testing.T) {
	c := newCrew(t, 1)
	c.profile("file", device.File, func(p *profile.Profile) { p.Protection = profile.UserIDPassword })
	users := &user.Registry{Store: c.db, Now: c.dist.Now}
	for id, guard := range map[string]string{"+4917012345": "", "-x.y@example.com": "", "=Zoë": "", "=A(1)": "'", "=cmd|x!A1": "'"} {
		_, err := users.Add(c.ctx, user.User{ID: id})
		c.must(err)
		serials, err := c.records.Create(c.ctx, 1, time.Time{}, time.Time{})
		c.must(err)
		_, err = c.tokens.Assign(c.ctx, serials[0], id)
		c.must(err)
		j := c.run(distribution.Bulk{Profile: "file", Individual: true, Grace: -1}, false, serials[0])
		listed := c.table(j, distribution.Passwords)[serials[0]]["password"]
		if !strings.HasPrefix(listed, guard+id) {
			t.Errorf("%s has the password %q", id, listed)
		}
		for _, file := range c.files(c.part(j, distribution.Files)) {
			c.code(file, strings.TrimPrefix(listed, guard))
		}
	}
}

// Sheets have names as people write them; one that the font cannot write is left out, and what cannot be left out is written with numbers.
func TestNamesOnSheets(t *testing.T) {
	c := newCrew(t, 1)
	c.profile("string", device.CTF, nil)
	users := &user.Registry{Store: c.db, Now: c.dist.Now}
	people := []struct{ id, name, shown string }{
		{"lukasz", "Łukasz Żółćińska", "Łukasz Żółćińska"},
		{"giorgos", "Γιώργος Παπαδόπουλος", "Γιώργος Παπαδόπουλος"},
		{"sergej", "Сергей Щербаков", "Сергей Щербаков"},
		{"taro", "山田 太郎", ""},
		{"zoe", "Zoe\u0308 Nova\u0301k", "Zoë Novák"},
		{"山田", "(Yamada)", "(Yamada)"},
		{"jürgen", "Jürgen Größe", "Jürgen Größe"},
	}
	serials, err := c.records.Create(c.ctx, len(people), time.Time{}, time.Time{})
	c.must(err)
	for i, p := range people {
		_, err := users.Add(c.ctx, user.User{ID: p.id, Name: p.name})
		c.must(err)
		_, err = c.tokens.Assign(c.ctx, serials[i], p.id)
		c.must(err)
	}
	sheets := c.part(c.run(distribution.Bulk{Profile: "string", Grace: -1}, false, serials...), distribution.Sheets)
	if codes, _ := c.sheets(sheets); len(codes) != len(people) {
		t.Errorf("%d codes", len(codes))
	}
	peertest.Need(t, "pdftotext")
	path := filepath.Join(t.TempDir(), "sheets.pdf")
	c.must(os.WriteFile(path, sheets, 0o600))
	out, err := exec.CommandContext(c.ctx, "pdftotext", "-enc", "UTF-8", path, "-").CombinedOutput()
	if err != nil || strings.Contains(string(out), "rror") {
		t.Fatalf("pdftotext: %v: %s", err, out)
	}
	for i, p := range people {
		id := strings.ReplaceAll(p.id, "山田", "[5C71][7530]")
		for _, want := range []string{serials[i], id, p.shown} {
			if !strings.Contains(string(out), want) {
				t.Errorf("the sheet of %s does not say %q:\n%s", p.id, want, out)
			}
		}
	}
	if text := string(out); strings.ContainsAny(text, "?山") || strings.Contains(text, "[592A]") {
		t.Errorf("a name that cannot be written is on a sheet:\n%s", text)
	}
}
