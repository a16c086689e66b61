package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

// clipboardTime is how long a copied code stays in the clipboard.
const clipboardTime = 30 * time.Second

// clearClipboard overwrites the copied code. Setting nothing would clear the clipboard in some
// terminals; others, and tmux, ignore it.
var clearClipboard = tea.SetClipboard(" ")

// fullScreen runs the view that 'tally' without arguments is.
func (c *program) fullScreen(cmd *cobra.Command) error {
	terminal := cli.Terminal(c.Out)
	if terminal == nil || !c.Interactive() || c.JSON {
		cmd.SetOut(c.Err)
		return errors.Join(cmd.Usage(), cli.Usagef("the full-screen view needs a terminal: name a command"))
	}
	app, err := c.app()
	if err != nil {
		return err
	}
	if err := app.Unlock(); err != nil {
		return err
	}
	s := newScreen(c, app)
	if err := s.load(); err != nil {
		return err
	}
	// From here on the terminal is the view's: nobody else asks or tells on it.
	app.Keys.Passphrase, app.Keys.Warn = nil, nil
	_, err = tea.NewProgram(s, tea.WithInput(c.In), tea.WithOutput(terminal)).Run()
	return err
}

// A screen is the state of the full-screen view. In each moment the keys go to
// one of: the work in progress (none but ctrl+c), the question, the prompt, the
// list of tokens.
type screen struct {
	c   *program
	app *tokenapp.App

	tokens        []tokenapp.Token
	version       tokenapp.Version // of the database that they are from
	stale         string           // why a later one cannot be read
	again         bool             // that may be over at the next tick
	chosen        int              // index of the token whose code is large
	now           time.Time
	width, height int

	pin      string // of the chosen token; empty after pinUntil
	pinKnown bool   // the user has been asked, and may have given none
	pinUntil time.Time
	next     bool // show the next code, too

	prompt   *prompt
	question *question
	working  string       // what is being done meanwhile
	progress atomic.Value // string: how that goes, which the work itself says

	message  string // outcome of the last action
	failed   bool   // it is bad news
	copied   int    // how often something was copied; tells which copy is to be cleared
	leftover bool   // the clipboard holds a code
}

// A prompt asks for one line of text.
type prompt struct {
	label string
	input textinput.Model
	done  func(text string) tea.Cmd
}

// A question is answered with y, or with anything else for no.
type question struct {
	text string
	yes  func() tea.Cmd
}

func newScreen(c *program, app *tokenapp.App) *screen {
	return &screen{c: c, app: app, now: c.now(), width: 80, height: 24}
}

// load reads the tokens anew. The large one stays the same, wherever it is now,
// and so does its PIN while its seed does.
func (s *screen) load() error {
	version, err := s.app.Version() // first: a change from here on is seen at the next tick
	if err != nil {
		return err
	}
	tokens, err := s.app.Tokens()
	if err != nil {
		return err
	}
	was, _ := s.token()
	s.tokens, s.version, s.stale = tokens, version, ""
	i := s.held(was)
	if i < 0 || !tokens[i].Seed.Equal(was.Seed) {
		s.forgetPIN()
	}
	if i < 0 {
		i = min(s.chosen, len(tokens)-1)
	}
	s.chosen = max(0, i)
	return nil
}

// held is the index of the token of that serial number, -1 if it is gone.
func (s *screen) held(t tokenapp.Token) int {
	return slices.IndexFunc(s.tokens, func(h tokenapp.Token) bool { return h.Serial == t.Serial })
}

// follow takes in what another process has changed. While that cannot be read,
// what was read before stays, with a warning: the file may just be replaced.
func (s *screen) follow() {
	if s.working != "" { // which reads it at its end
		return
	}
	version, err := s.app.Version()
	if err == nil && version.Same(s.version) && !s.again {
		return
	}
	was, shown := s.token()
	if err == nil {
		err = s.load()
	}
	s.again = err != nil && fault.CodeOf(err) == ""
	switch {
	case fault.CodeOf(err) == fault.StoreLocked:
		s.version = version // until it changes: to try again may have the keyring ask the user, each second
		s.stale = "the token database was changed and does not open any more, so these tokens may be out of date: quit, and start tally again"
	case err != nil:
		s.stale = "the token database was changed and cannot be read, so these tokens may be out of date: " + err.Error()
	case shown && s.held(was) < 0:
		s.say("%s was deleted by another command", name(was))
	case shown && !s.tokens[s.held(was)].Seed.Equal(was.Seed):
		s.say("%s was given a new seed by another command", name(was))
	}
}

// choose makes another token the large one. A PIN stays with its token.
func (s *screen) choose(i int) {
	i = max(0, min(i, len(s.tokens)-1))
	if i != s.chosen {
		s.forgetPIN()
	}
	s.chosen = i
}

// token is the chosen one; ok is false if there is none.
func (s *screen) token() (t tokenapp.Token, ok bool) {
	if s.chosen < len(s.tokens) {
		return s.tokens[s.chosen], true
	}
	return t, false
}

func (s *screen) forgetPIN() { s.pin, s.pinKnown = "", false }

func (s *screen) say(format string, args ...any) {
	s.message, s.failed = fmt.Sprintf(format, args...), false
}

func (s *screen) fail(err error) tea.Cmd {
	s.message, s.failed = err.Error(), true
	return nil
}

type (
	tickMsg    time.Time
	unclipMsg  int            // the number of the copy to clear
	outcomeMsg func() tea.Cmd // what work in the background ends with, run on the view
)

// tick comes at each full second, when codes and countdown change.
func tick() tea.Cmd {
	return tea.Every(time.Second, func(t time.Time) tea.Msg { return tickMsg(t) })
}

// Init starts the clock.
func (s *screen) Init() tea.Cmd { return tick() }

// Update takes one event.
func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tickMsg:
		s.now = s.c.now()
		s.follow()
		if s.pinKnown && !s.now.Before(s.pinUntil) {
			s.forgetPIN()
		}
		return s, tick()
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
	case tea.ResumeMsg: // back from the background
		s.forgetPIN()
	case unclipMsg:
		if int(msg) == s.copied {
			s.leftover = false
			return s, clearClipboard
		}
	case outcomeMsg:
		s.working = ""
		return s, msg()
	case tea.PasteMsg:
		return s, s.paste(msg)
	case tea.KeyPressMsg:
		return s, s.key(msg)
	}
	return s, nil
}

// paste fills the prompt, or imports what was pasted.
func (s *screen) paste(msg tea.PasteMsg) tea.Cmd {
	switch {
	case s.working != "" || s.question != nil:
		return nil
	case s.prompt != nil && !strings.Contains(strings.TrimSpace(msg.Content), "\n"):
		var cmd tea.Cmd
		s.prompt.input, cmd = s.prompt.input.Update(tea.PasteMsg{Content: strings.TrimSpace(msg.Content)})
		return cmd
	}
	s.prompt = nil
	return s.importText(msg.Content)
}

func (s *screen) key(msg tea.KeyPressMsg) tea.Cmd {
	if msg.String() == "ctrl+c" {
		return s.quit()
	}
	switch {
	case s.working != "":
		return nil
	case s.question != nil:
		return s.answer(msg)
	case s.prompt != nil:
		return s.typed(msg)
	}
	s.message = ""
	return s.command(msg.String())
}

// quit leaves no code in the clipboard.
func (s *screen) quit() tea.Cmd {
	if s.leftover {
		return tea.Sequence(clearClipboard, tea.Quit)
	}
	return tea.Quit
}

func (s *screen) answer(msg tea.KeyPressMsg) tea.Cmd {
	q := s.question
	s.question = nil
	if msg.String() == "y" || msg.String() == "Y" {
		return q.yes()
	}
	s.say("nothing was changed")
	return nil
}

func (s *screen) typed(msg tea.KeyPressMsg) tea.Cmd {
	p := s.prompt
	switch msg.String() {
	case "esc":
		s.prompt = nil
		return nil
	case "enter":
		s.prompt = nil
		return p.done(p.input.Value())
	}
	var cmd tea.Cmd
	p.input, cmd = p.input.Update(msg)
	return cmd
}

// ask opens a prompt; a secret is not shown.
func (s *screen) ask(label, text string, secret bool, done func(string) tea.Cmd) tea.Cmd {
	input := textinput.New()
	input.SetVirtualCursor(false)
	input.SetValue(text)
	if secret {
		input.EchoMode = textinput.EchoPassword
	}
	s.prompt = &prompt{label: label, input: input, done: done}
	return s.prompt.input.Focus()
}

// keys are the commands of the list, in the order of the help line.
var keys = []struct {
	keys []string // the first is the one that help shows
	help string   // empty: another name of the one before, or well known
	do   func(*screen) tea.Cmd
}{
	{[]string{"↑↓", "up", "k"}, "choose", func(s *screen) tea.Cmd { s.choose(s.chosen - 1); return nil }},
	{[]string{"down", "j"}, "", func(s *screen) tea.Cmd { s.choose(s.chosen + 1); return nil }},
	{[]string{"p", "enter"}, "PIN", (*screen).askPIN},
	{[]string{"n"}, "next code", func(s *screen) tea.Cmd { s.next = !s.next; return nil }},
	{[]string{"c", "y"}, "copy", (*screen).copyCode},
	{[]string{"i"}, "import", (*screen).askImport},
	{[]string{"r"}, "rename", (*screen).askName},
	{[]string{"shift+↑↓", "shift+up", "K"}, "move", func(s *screen) tea.Cmd { return s.move(-1) }},
	{[]string{"shift+down", "J"}, "", func(s *screen) tea.Cmd { return s.move(+1) }},
	{[]string{"d", "delete"}, "delete", (*screen).askDelete},
	{[]string{"q"}, "quit", (*screen).quit},
}

func (s *screen) command(key string) tea.Cmd {
	for _, k := range keys {
		if slices.Contains(k.keys, key) {
			return k.do(s)
		}
	}
	return nil
}

// askPIN asks for the PIN of a PINPad token. Nobody here knows whether it is
// right. It is kept for one interval.
func (s *screen) askPIN() tea.Cmd {
	t, ok := s.token()
	if !ok || !t.AddPIN {
		return nil
	}
	return s.ask("PIN (none for the plain tokencode)", "", true, func(pin string) tea.Cmd {
		if now, ok := s.token(); !ok || now.Serial != t.Serial || !now.Seed.Equal(t.Seed) {
			return s.fail(errGone(t))
		}
		if _, err := t.Code(s.now, pin); err != nil {
			return s.fail(err)
		}
		s.pin, s.pinKnown = pin, true
		s.pinUntil = s.c.now().Add(time.Duration(t.Interval) * time.Second)
		return nil
	})
}

// errGone is for what was asked about a token that is not the same any more.
func errGone(t tokenapp.Token) error {
	return fmt.Errorf("%s was deleted or given a new seed by another command meanwhile, so nothing was done", name(t))
}

func (s *screen) copyCode() tea.Cmd {
	code, ok := s.code()
	if !ok {
		return nil
	}
	s.copied++
	s.leftover = true
	n := s.copied
	s.say("copied; the clipboard is cleared in %d seconds", clipboardTime/time.Second)
	return tea.Batch(tea.SetClipboard(code.Text), tea.Tick(clipboardTime, func(time.Time) tea.Msg { return unclipMsg(n) }))
}

// code is what the large display shows; ok is false while there is none.
func (s *screen) code() (code tokenapp.Code, ok bool) {
	t, ok := s.token()
	if !ok || t.Expired(s.now) || t.AddPIN && !s.pinKnown {
		return code, false
	}
	code, err := t.Code(s.now, s.pin)
	return code, err == nil
}

func (s *screen) askName() tea.Cmd {
	t, ok := s.token()
	if !ok {
		return nil
	}
	return s.ask("New name", t.Nickname, false, func(nickname string) tea.Cmd {
		if _, err := s.app.Rename(t.Serial, strings.TrimSpace(nickname)); err != nil {
			return s.fail(err)
		}
		return s.reload("renamed")
	})
}

func (s *screen) askDelete() tea.Cmd {
	t, ok := s.token()
	if !ok {
		return nil
	}
	s.question = &question{"Delete " + name(t) + "? Only its issuer can bring it back.", func() tea.Cmd {
		if err := s.app.Delete(t); err != nil {
			return s.fail(err)
		}
		return s.reload("deleted " + name(t))
	}}
	return nil
}

func (s *screen) move(places int) tea.Cmd {
	t, ok := s.token()
	if !ok {
		return nil
	}
	if err := s.app.Move(t.Serial, places); err != nil {
		return s.fail(err)
	}
	return s.reload("")
}

// reload shows what the database now holds, and says what was done.
func (s *screen) reload(done string) tea.Cmd {
	if err := s.load(); err != nil {
		return s.fail(err)
	}
	s.say("%s", done)
	return nil
}
