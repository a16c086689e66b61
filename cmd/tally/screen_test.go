package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// A user drives a screen in a test, key by key, and reads it without colours.
type user struct {
	*testing.T
	screen *screen
	now    time.Time
	copied []string // what was put into the clipboard
}

// newUser opens the view on a database with a PINPad token, a fob token that
// ends in 20 days, and an expired one.
func newUser(t *testing.T) *user {
	u := &user{T: t, now: time.Date(2026, 11, 24, 12, 0, 10, 0, time.UTC)}
	dir := t.TempDir()
	now := func() time.Time { return u.now }
	app := &tokenapp.App{Dir: filepath.Join(dir, "store"), Keys: tokenapp.Keys{File: filepath.Join(dir, "key")}, Now: func() time.Time { return u.now.AddDate(-1, 0, 0) }}
	var tokens []tokenapp.Token
	for i, token := range []tokenapp.Token{
		{Nickname: "work", Digits: 8, AddPIN: true, Expiry: u.now.AddDate(5, 0, 0)},
		{Nickname: "vpn", Digits: 6, Expiry: u.now.AddDate(0, 0, 20)},
		{Nickname: "old", Digits: 8, Expiry: u.now.AddDate(0, 0, -1)},
	} {
		token.Serial = "00000000000" + string(rune('1'+i))
		token.Seed = seed.New(bytes.Repeat([]byte{byte(i)}, seed.Size))
		token.Interval = 60
		token.Expiry = token.Expiry.Truncate(24 * time.Hour)
		token.Format = tokenapp.FormatSDTID
		tokens = append(tokens, token)
	}
	if _, err := app.Import(tokens, tokenapp.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	app.Now = now
	u.screen = newScreen(&program{now: now}, app)
	if err := u.screen.load(); err != nil {
		t.Fatal(err)
	}
	return u
}

// send gives one event to the screen.
func (u *user) send(msg tea.Msg) {
	u.Helper()
	_, cmd := u.screen.Update(msg)
	if cmd == nil {
		return
	}
	if _, ok := msg.(tickMsg); ok {
		return // the next tick, which the test sends itself
	}
	switch result := cmd().(type) {
	case tea.BatchMsg: // copying: the first part sets the clipboard, the second waits
		u.copied = append(u.copied, clipboardOf(result[0]()))
	case outcomeMsg:
		u.send(result)
	}
}

// clipboardOf reads bubbletea's message, whose type is its own affair.
func clipboardOf(msg tea.Msg) string {
	if s, ok := msg.(interface{ String() string }); ok {
		return s.String()
	}
	return fmt.Sprint(msg)
}

// press presses keys one after the other: names in angle brackets, else letters.
func (u *user) press(keys string) {
	u.Helper()
	for _, key := range regexp.MustCompile(`<[^>]+>|.`).FindAllString(keys, -1) {
		switch key {
		case "<enter>":
			u.send(tea.KeyPressMsg{Code: tea.KeyEnter})
		case "<esc>":
			u.send(tea.KeyPressMsg{Code: tea.KeyEscape})
		case "<down>":
			u.send(tea.KeyPressMsg{Code: tea.KeyDown})
		case "<up>":
			u.send(tea.KeyPressMsg{Code: tea.KeyUp})
		default:
			u.send(tea.KeyPressMsg{Code: rune(key[0]), Text: key})
		}
	}
}

// wait lets time pass.
func (u *user) wait(d time.Duration) {
	u.now = u.now.Add(d)
	u.send(tickMsg(u.now))
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

func (u *user) sees() string {
	return escapes.ReplaceAllString(u.screen.View().Content, "")
}

func (u *user) expect(parts ...string) {
	u.Helper()
	for _, part := range parts {
		if !strings.Contains(u.sees(), part) {
			u.Errorf("%q is not on the screen:\n%s", part, u.sees())
		}
	}
}

func (u *user) expectNot(parts ...string) {
	u.Helper()
	for _, part := range parts {
		if strings.Contains(u.sees(), part) {
			u.Errorf("%q is on the screen:\n%s", part, u.sees())
		}
	}
}

// code is what the token shows now.
func (u *user) code(name, pin string) string {
	u.Helper()
	token, err := u.screen.app.Find(name)
	if err != nil {
		u.Fatal(err)
	}
	code, err := token.Code(u.now, pin)
	if err != nil {
		u.Fatal(err)
	}
	return code.Text
}

// large is how a code looks on the screen.
func large(code string) string { return strings.TrimRight(block(code, 2)[0], " ") }

func TestScreenShowsCodes(t *testing.T) {
	u := newUser(t)
	u.expect("> work", "press p to enter the PIN", "vpn", grouped(u.code("vpn", "")), "20 days left", "old", "expired")
	u.expectNot(grouped(u.code("work", "")))

	u.press("j")
	u.expect("> vpn", large(u.code("vpn", "")), "50 s", "expires in 20 days")
	u.press("n")
	before := u.code("vpn", "")
	u.wait(50 * time.Second)
	u.expect(large(u.code("vpn", "")), "60 s", "next ")
	if u.code("vpn", "") == before {
		t.Error("the code did not change")
	}
	u.press("<down>")
	u.expect("> old", "no more codes")
	u.press("<down>k<up>")
	u.expect("> work")
}

func TestScreenPIN(t *testing.T) {
	u := newUser(t)
	u.press("p12")
	u.expect("PIN (none for the plain tokencode): **")
	u.expectNot("12**", ": 12")
	u.press("<enter>")
	u.expect("a PIN has 4 to 8 digits", "press p")
	u.press("p1234<enter>")
	u.expect(large(u.code("work", "1234")))
	u.wait(59 * time.Second) // the next interval has begun
	u.expect(large(u.code("work", "1234")))
	u.wait(time.Second)
	u.expect("press p")
	u.press("p<enter>")
	u.expect(large(u.code("work", "")))
	u.press("jk") // another token and back
	u.expect("press p")
	u.press("p1234<enter>")
	u.send(tea.ResumeMsg{}) // to the background and back
	u.expect("press p")
}

func TestScreenCopies(t *testing.T) {
	u := newUser(t)
	u.press("c")
	if len(u.copied) != 0 {
		t.Errorf("copied %q before the PIN was given", u.copied)
	}
	u.press("jc")
	if len(u.copied) != 1 || u.copied[0] != u.code("vpn", "") {
		t.Errorf("copied %q", u.copied)
	}
	u.expect("cleared in 30 seconds")
	if !u.screen.leftover {
		t.Error("the copy is forgotten")
	}
	u.press("c")
	u.send(unclipMsg(1)) // of the first copy: the second one stays
	if !u.screen.leftover {
		t.Error("cleared too early")
	}
	u.send(unclipMsg(2))
	if u.screen.leftover {
		t.Error("not cleared")
	}
}

func TestScreenEdits(t *testing.T) {
	u := newUser(t)
	u.press("r-pc<enter>")
	u.expect("renamed", "work-pc")
	u.press("rx<esc>")
	u.expectNot("work-pcx")
	u.press("J")
	if tokens, _ := u.screen.app.Tokens(); tokens[1].Nickname != "work-pc" {
		t.Error("it did not move")
	}
	u.expect("> work-pc")
	u.press("dn")
	u.expect("nothing was changed", "work-pc")
	u.press("dy")
	u.expect("deleted work-pc")
	u.press("dydy")
	u.expect("No tokens yet.")
	u.press("jkpncrdKJ<enter>") // nothing to do these to
	u.expect("No tokens yet.")
}

// other is another command on the same database.
func (u *user) other() *tokenapp.App {
	return &tokenapp.App{Dir: u.screen.app.Dir, Keys: u.screen.app.Keys, Now: u.screen.app.Now}
}

// expectDone is for what another command did.
func (u *user) expectDone(err error) {
	u.Helper()
	if err != nil {
		u.Fatal(err)
	}
	u.wait(time.Second)
}

// pinPad is a token of that serial number, with a seed of that octet.
func (u *user) pinPad(serial string, octet byte) []tokenapp.Token {
	return []tokenapp.Token{{Serial: serial, Seed: seed.New(bytes.Repeat([]byte{octet}, seed.Size)), Digits: 8, Interval: 60, AddPIN: true, Format: tokenapp.FormatSDTID}}
}

// What other commands do is seen at the next second. The choice and the PIN stay with their token, and the PIN with its seed.
func TestScreenFollows(t *testing.T) {
	u := newUser(t)
	other := u.other()
	_, err := other.Import(u.pinPad("000000000004", 4), tokenapp.ImportOptions{Nickname: "second"})
	u.expectDone(err)
	u.expect("> work", "second")
	u.press("p1234<enter>")
	u.expectDone(other.Move("work", 2))
	u.expect("> work", large(u.code("work", "1234")))

	old := u.code("work", "1234")
	_, err = other.Import(u.pinPad("000000000001", 9), tokenapp.ImportOptions{Replace: true})
	u.expectDone(err)
	u.expect("> work", "press p", "was given a new seed by another command")
	u.expectNot(large(old))
	u.press("p1234<enter>")
	u.expect(large(u.code("work", "1234")))

	err = other.Delete(found(t, other, "work")) // second comes into its place
	u.expectDone(err)
	u.expect("> second", "press p", "work (000000000001) was deleted by another command")

	u.press("p12")
	err = other.Delete(found(t, other, "second"))
	u.expectDone(err)
	u.press("34<enter>")
	u.expect("nothing was done")
	u.press("k")
	u.expect("> vpn")
	if u.screen.pinKnown {
		t.Error("the PIN of a token that is gone stays")
	}
	u.expectDone(other.Reset())
	u.expect("No tokens yet.")
}

// Who has agreed to the deletion of a token has not agreed to that of a new seed.
func TestScreenDeletesWhatWasAsked(t *testing.T) {
	u := newUser(t)
	u.press("d")
	if _, err := u.other().Import(u.pinPad("000000000001", 9), tokenapp.ImportOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	u.press("y")
	u.expect("nothing was done")
	u.code("work", "")
}

// A database that cannot be read after a change leaves the tokens as they were, with a warning until it can be.
func TestScreenWarnsOfWhatItCannotRead(t *testing.T) {
	u := newUser(t)
	const warning = "token database was changed"
	path := filepath.Join(u.screen.app.Dir, "tokens.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u.press("j")
	u.expectDone(os.WriteFile(path, whole[:20], 0o600)) // as a copy in its place begins
	u.expect("> vpn", warning, "damaged")
	u.press("k")
	u.expect("> work", warning)
	u.expectDone(os.WriteFile(path, whole, 0o600))
	u.expect("> work")
	u.expectNot(warning)

	other := u.other()
	if err := other.Reset(); err != nil {
		t.Fatal(err)
	}
	other.Keys.File += "2"
	_, err = other.Import(u.pinPad("000000000005", 5), tokenapp.ImportOptions{})
	u.expectDone(err)
	u.expect("> work", warning, "start tally again")
	u.wait(time.Second)
	u.expect(warning)
}

func TestScreenImports(t *testing.T) {
	u := newUser(t)
	const serial = "000123456789"
	paste := func(seedHex, password string) {
		t.Helper()
		data, err := tokenFile(serial, seedHex, password, "", "2035-08-05")
		if err != nil {
			t.Fatal(err)
		}
		u.send(tea.PasteMsg{Content: string(data)})
	}
	paste("000102030405060708090a0b0c0d0e0f", "")
	u.expect("imported "+serial, "> -", serial)
	first := u.code(serial, "")
	u.press("rmine<enter>")

	paste("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "secret")
	u.expect("Password of the token: ")
	u.press("Secret<enter>")
	u.expect("the password is wrong", "Password of the token: ")
	u.press("secret<enter>")
	u.expect("here already. Give it the new seed? (y/n)")
	u.press("n")
	u.expect("nothing was changed")
	paste("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "secret")
	u.press("secret<enter>y")
	u.expect("imported mine")
	if u.code("mine", "") == first {
		t.Error("the seed is the old one")
	}

	path := filepath.Join(t.TempDir(), "x.sdtid")
	data, err := tokenFile("000123456790", "ff0102030405060708090a0b0c0d0e0f", "", "", "2035-08-05")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	u.press("i" + path + "<enter>")
	u.expect("imported 000123456790")
	u.press("ihello<enter>")
	u.expect("no file hello")
	u.send(tea.PasteMsg{Content: "https://host.example/ctkip/services/CtkipService"})
	u.expect("Activation code: ")
	u.press("<esc>")
}

// A mail is pasted whole, with the token string somewhere in it.
func TestScreenImportsMail(t *testing.T) {
	const digits = "200012345678973042071776752216050450744647071253341607664172162620001302716715614"
	for _, text := range []string{"Dear Alice,\n\nyour token: " + digits + "\n\nRegards", "your token: " + digits + " (Alice)"} {
		u := newUser(t)
		u.send(tea.PasteMsg{Content: text})
		u.expect("imported 000123456789")
	}
}

// A full store takes a new seed for one of its tokens, and what turns out to be
// another token is taken in when there is room, without the server.
func TestScreenFullStore(t *testing.T) {
	for serial, held := range map[string]bool{"000000000002": true, "000123456789": false} {
		u := newUser(t)
		server, seed := provisioningServer(t, serial)
		u.screen.c.ca = authorityFile(t, server)
		u.screen.app.Limit = 3
		link := "com.rsa.securid://ctkip?url=" + server.URL + "/ctkip/services/CtkipService&activationCode=100000000001"
		paste := func() { u.Helper(); u.send(tea.PasteMsg{Content: link}) }

		paste()
		u.expect("no room for another token", "(y/n)")
		u.press("n")
		u.expect("nothing was changed")
		if seed() != nil {
			t.Error("the server was asked")
		}
		paste()
		u.press("y")
		if !held {
			u.expect("no room for token "+serial, "kept aside")
			server.Close()
			u.press("dy")
			paste()
		}
		token, err := u.screen.app.Find(serial)
		if err != nil || !bytes.Equal(token.Seed.Reveal(), seed()) {
			t.Errorf("the seed of %s is not the server's: %v", serial, err)
		}
	}
}

// A file that takes the place of a held token is not the last word where a fetched seed waits.
func TestScreenTellsOfWhatWaits(t *testing.T) {
	u := newUser(t)
	server, _ := provisioningServer(t, "000000000002")
	u.screen.c.ca = authorityFile(t, server)
	u.send(tea.PasteMsg{Content: "com.rsa.securid://ctkip?url=" + server.URL + "/ctkip/services/CtkipService&activationCode=100000000001"})
	u.expect("here already. Give it the new seed?")
	u.press("n")
	data, err := tokenFile("000000000002", "000102030405060708090a0b0c0d0e0f", "", "", "2035-08-05")
	if err != nil {
		t.Fatal(err)
	}
	u.send(tea.PasteMsg{Content: string(data)})
	u.press("y")
	u.expect("imported vpn (000000000002); a new seed for token vpn (000000000002) waits")
}

// While a token is fetched, the view says why it takes longer.
func TestScreenProgress(t *testing.T) {
	u := newUser(t)
	u.screen.provision(ctkip.Link{}, tokenapp.ImportOptions{})
	u.expect("fetching the token …")
	u.screen.progress.Store("asking for it again")
	u.expect("asking for it again …")
	u.screen.provision(ctkip.Link{}, tokenapp.ImportOptions{})
	u.expect("fetching the token …")
}

// On a narrow terminal people see what they type, and what a token's name leaves no room for is not its last day.
func TestScreenNarrow(t *testing.T) {
	u := newUser(t)
	u.send(tea.WindowSizeMsg{Width: 40, Height: 15})
	u.press("jr for the whole house<enter>") // 20 days are left
	u.expect("vpn for the who", "expires in 20 days")
	u.press("i")
	u.expect("Paste a token string or link, or", "type a path:")
	u.press("hello.sdtid")
	u.expect("> hello.sdtid")
	u.press("<enter>")
	u.expect("no file hello.sdtid")
	u.press("kp12")
	u.expect("PIN (none for the plain tokencode):", "> **")
}

// On a low terminal people see how long the code is good, the next one, and which token they have chosen.
func TestScreenLow(t *testing.T) {
	u := newUser(t)
	u.send(tea.WindowSizeMsg{Width: 40, Height: 10})
	u.press("jn")
	code, err := found(t, u.screen.app, "vpn").Code(u.now.Add(time.Minute), "")
	if err != nil {
		t.Fatal(err)
	}
	u.expect(grouped(u.code("vpn", "")), " 50 s", "next "+grouped(code.Text), "> vpn", "choose")
}

// The view fits whatever the terminal is, and the help stays.
func TestScreenFits(t *testing.T) {
	for _, size := range []tea.WindowSizeMsg{{Width: 80, Height: 24}, {Width: 40, Height: 24}, {Width: 24, Height: 12}, {Width: 200, Height: 60}, {Width: 10, Height: 5}, {Width: 1, Height: 1}} {
		u := newUser(t)
		u.send(size)
		for _, keys := range []string{"", "j", "n", "p", "<esc>d", "n"} {
			u.press(keys)
			lines := strings.Split(u.sees(), "\n")
			if len(lines) > size.Height && size.Height >= 5 {
				t.Errorf("%d by %d: %d lines", size.Width, size.Height, len(lines))
			}
			for _, line := range lines {
				if lipgloss.Width(line) > size.Width {
					t.Errorf("%d by %d: too wide: %q", size.Width, size.Height, line)
				}
			}
		}
		if size.Width >= 40 {
			u.expect("choose", "quit")
		}
	}
}

// found is a token that is held.
func found(t *testing.T, a *tokenapp.App, name string) tokenapp.Token {
	t.Helper()
	token, err := a.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
