package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) tokenCommands() *cobra.Command {
	return group("token", "Tokens, from the first record to the last",
		p.tokenCreate(), p.tokenImport(), p.tokenList(), p.tokenShow(), p.tokenAssign(), p.tokenUnassign(), p.tokenReplace(),
		p.tokenEnable(), p.tokenDisable(), p.tokenDistribute(), p.tokenRedistribute(), p.tokenCutOff(), p.tokenRevoke(),
		p.tokenSetPIN(), p.tokenClearPIN(), p.tokenForceNewPIN(), p.tokenResync(), p.tokenClearNTC(), p.tokenLost(), p.tokenFound(), p.tokenExtend(), p.tokenExtensions(),
		p.tokenResetIssueCount(), p.tokenEdit(), p.tokenDelete())
}

// open opens a file that is not empty, or standard input for "-", to be read as it is sent. done closes it.
func (p *program) open(name string) (file io.Reader, done func(), err error) {
	in, done := p.In, func() {}
	if name != "-" {
		if in, err = cli.Interruptible(func() (*os.File, error) { return os.Open(name) }); err != nil {
			return nil, done, err
		}
		done = func() { in.Close() }
	}
	text := bufio.NewReaderSize(in, 64<<10)
	if _, err := cli.Interruptible(func() ([]byte, error) { return text.Peek(1) }); err != nil {
		done()
		if errors.Is(err, io.EOF) {
			err = fault.New(fault.ImportFormat, "%s is empty", name)
		}
		return nil, done, err
	}
	return text, done, nil
}

// readUpTo reads a file of so many bytes at most, or standard input for "-".
func (p *program) readUpTo(name string, most int64) ([]byte, error) {
	data, err := p.Beginning(name, most+1)
	if err == nil && int64(len(data)) > most {
		err = fault.New(fault.TooLarge, "%s is too large: it takes up to %d bytes", name, most)
	}
	return data, err
}

// inUTF8 refuses the content of a file that is no text in UTF-8: it would be sent as another one.
func inUTF8(content []byte, name string) error {
	if utf8.Valid(content) {
		return nil
	}
	return fault.New(fault.Invalid, "%s is not text in UTF-8: 'iconv -f ISO-8859-1 -t UTF-8 FILE' turns what was written in another encoding into it", name)
}

func (p *program) tokenList() *cobra.Command {
	var f client.TokenFilter
	var assigned, enabled, extendable, lost bool
	var attribute string
	var most int
	cmd := p.command("list", "List tokens", 0, nil)
	s := cmd.Flags()
	s.StringVar(&f.UserID, "user", "", "only those of a `user`")
	s.BoolVar(&assigned, "assigned", true, "only assigned ones, or with --assigned=false only unassigned ones")
	s.BoolVar(&enabled, "enabled", true, "only enabled ones, or with --enabled=false only disabled ones")
	s.StringVar(&f.Type, "type", "", "only those of a `type`: software or hardware")
	s.StringVar(&f.Distribution, "distribution", "", "only those in a distribution `state`: not_distributed, issued, pending_activation, activation_lapsed or confirmed")
	s.StringVar(&f.Profile, "profile", "", "only those last distributed with a `profile`")
	dayFlag(s, &f.ExpiresBefore, "expires-before", "only those that expire before a `day`, YYYY-MM-DD")
	s.StringVar(&f.Lifetime, "lifetime", "", "only those of a `state`: not_yet_valid, valid, expiring or expired")
	s.StringVar(&f.Replacement, "replacement", "", "only those that take a `part` in a replacement, original or replacement, or none")
	s.BoolVar(&lost, "lost", true, "only lost ones, or with --lost=false only others")
	s.BoolVar(&extendable, "extendable", true, "only those whose lifetime can be extended, or with --extendable=false only others")
	s.StringVar(&f.Tag, "tag", "", "only those with a `tag`")
	s.StringVar(&attribute, "attribute", "", "only those with a custom attribute, `NAME` or NAME=VALUE")
	s.StringVar(&f.Query, "query", "", "`part` of serial, user ID, nickname or notes")
	inDomainFlag(cmd, &f.Domain)
	s.IntVar(&most, "limit", 0, "at most so many (default all)")
	p.does(cmd, func(r run) error {
		f.Assigned, f.Enabled = given(cmd, "assigned", &assigned), given(cmd, "enabled", &enabled)
		f.Extendable, f.Lost = given(cmd, "extendable", &extendable), given(cmd, "lost", &lost)
		f.Attribute, f.Value, _ = strings.Cut(attribute, "=")
		tokens, err := collect(r.server.AllTokens(r.ctx, f), most)
		if err != nil {
			return err
		}
		return tabulate(p, map[string]any{"tokens": tokens}, []string{"SERIAL", "USER", "STATE", "PROFILE", "EXPIRES", "CODES", "GEN"}, tokens, func(t client.Token) []string {
			return []string{t.Serial, t.UserID, stateWord(t), t.Profile, t.EffectiveExpiry, codes(t), number(t.Generation)}
		})
	})
	return cmd
}

// stateWord is the state of a token, and whether its codes are refused for the sake of a former user, or until its first day, which no state says.
func stateWord(t client.Token) string {
	switch {
	case t.UserID == "":
	case t.Tainted:
		return t.State + " (tainted)"
	case t.Lifetime == "not_yet_valid":
		return t.State + " (not yet valid)"
	}
	return t.State
}

// codes says what the codes of a token are like.
func codes(t client.Token) string {
	return number(t.Digits) + "/" + number(t.IntervalSeconds) + "s " + t.PINType
}

func (p *program) tokenShow() *cobra.Command {
	cmd := p.command("show SERIAL", "Show a token and what happened to it lately", 1, nil)
	most := signInsFlag(cmd)
	p.does(cmd, func(r run) error {
		t, err := r.server.Token(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		signIns, more, err := lastSignIns(*most, func(limit int) ([]client.SignIn, error) { return r.server.TokenActivity(r.ctx, t.Serial, limit) })
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(struct {
				client.Token
				SignIns []client.SignIn `json:"sign_ins,omitempty"`
			}{t, signIns})
		}
		p.fields("serial", t.Serial, "type", t.Type, "state", stateWord(t), "user", t.UserID, "assigned", assignedWord(t), "domain", unlessRoot(t.Domain), "codes", codes(t), "pin", pinWord(t), "wrong passcodes", signInWord(t),
			"sync", t.Sync, "clock", offsetWord(t), "lifetime", t.Lifetime, "first day", t.Birth,
			"last day", t.EffectiveExpiry, "distribution", t.Distribution, "profile", t.Profile, "nickname", t.Nickname, "device id", t.DeviceID,
			"generation", number(t.Generation), "distributed", date(t.DistributedAt), "confirmed", date(t.ConfirmedAt), "last used", date(t.LastUsedAt),
			"times issued", number(t.IssueCount), "version", number(t.Version))
		if t.Pending != nil {
			p.fields("new seed", "generation "+number(t.Pending.Generation)+" takes over with its first code, or on "+date(&t.Pending.Until))
		}
		if t.ExtensionCount > 0 {
			p.fields("extended", fmt.Sprintf("%s; the device knows %s", times(t.ExtensionCount), t.Expiry))
		}
		p.fields("tags", strings.Join(t.Tags, ", "), "notes", t.Notes)
		for _, name := range slices.Sorted(maps.Keys(t.Attributes)) {
			p.fields(name, t.Attributes[name])
		}
		p.fields("replaces", t.Replaces, "replaced by", t.ReplacedBy, "lost", date(t.LostAt), "emergency codes", emergencyLine(t))
		if t.Tainted {
			p.fields("seed", "known to a former user: its codes are refused, and the next distribution replaces it")
		}
		if err := p.history(r, "token:"+t.Serial); err != nil {
			return err
		}
		p.signIns(signIns, more)
		return nil
	})
	return cmd
}

// assignedWord says when and by whom a token was given to its user.
func assignedWord(t client.Token) string {
	if t.AssignedAt == nil {
		return ""
	}
	return date(t.AssignedAt) + " by " + t.AssignedBy
}

// times is how often something was done.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return number(n) + " times"
}

func pinWord(t client.Token) string {
	switch t.PINState {
	case "not_used":
		return "not used"
	case "none":
		return "none: the next right tokencode begins with a new one"
	case "must_change":
		return "set, to be changed at its next use"
	case "expired":
		return "set, too old: to be changed at its next use"
	}
	return "set"
}

// signInWord says what stands between a right passcode and the token's user; "" if nothing does.
func signInWord(t client.Token) string {
	switch {
	case t.NextTokencode:
		return fmt.Sprintf("after %d wrong ones a right passcode takes the next tokencode too", t.BadPasscodes)
	case t.BadPasscodes > 0:
		return number(t.BadPasscodes) + " in a row"
	}
	return ""
}

// offsetWord says how far a token's clock is off, "" if it is not.
func offsetWord(t client.Token) string {
	switch ahead := time.Duration(t.ClockOffsetSeconds) * time.Second; {
	case ahead > 0:
		return ahead.String() + " ahead"
	case ahead < 0:
		return (-ahead).String() + " behind"
	}
	return ""
}

// unless prints a document if there was no error.
func (p *program) unless(err error, document any) error {
	if err != nil {
		return err
	}
	return p.PrintJSON(document)
}

// history prints the latest events of an object, for those who may read them.
func (p *program) history(r run, object string) error {
	events, err := listEvents(r, client.EventFilter{Object: object, Newest: true}, latest)
	for _, e := range slices.Backward(events) {
		p.fields(date(&e.At), eventLine(e)+" by "+e.Actor)
	}
	return allowed(err)
}

// change is a command that changes the state of the token it names.
func (p *program) change(use, short, done string, do func(run, string, int) (client.Token, error)) *cobra.Command {
	cmd := p.command(use, short, 1, nil)
	version := versionFlag(cmd, "the token is")
	p.does(cmd, func(r run) error {
		t, err := do(r, r.args[0], *version)
		if err != nil {
			return err
		}
		return p.result(t, "%s token %s", done, t.Serial)
	})
	return cmd
}

func (p *program) tokenResetIssueCount() *cobra.Command {
	return p.change("reset-issue-count SERIAL", "Let a token be issued again that reached the issue limit", "reset the issue count of", func(r run, serial string, version int) (client.Token, error) {
		return r.server.ResetIssueCount(r.ctx, serial, version)
	})
}

func (p *program) tokenRevoke() *cobra.Command {
	return p.command("revoke SERIAL", "Make the open activation code of a token useless", 1, func(r run) error {
		n, err := r.server.Revoke(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if n == 0 {
			return p.result(client.Revocation{Revoked: n}, "token %s has no open activation code", r.args[0])
		}
		return p.result(client.Revocation{Revoked: n}, "%s the activation code of token %s", r.verb("revoked", "revoke"), r.args[0])
	})
}

func (p *program) tokenSetPIN() *cobra.Command {
	cmd := p.command("set-pin SERIAL", "Give a token a PIN", 1, nil)
	pin := p.SecretFlag(cmd, "pin-file", "PIN", pinVariables...)
	temporary := cmd.Flags().Bool("temporary", false, "the user must change it at its first use")
	p.does(cmd, func(r run) error {
		secret, err := p.newSecret(pin, "PIN")
		if err != nil {
			return err
		}
		if err := r.server.SetPIN(r.ctx, r.args[0], client.PIN{PIN: client.Secret(secret), Temporary: *temporary}); err != nil {
			return err
		}
		return p.result(map[string]string{"serial": r.args[0]}, "token %s has a PIN now", r.args[0])
	})
	return cmd
}

// newSecret gives the secret of a flag, or asks for it twice on the terminal.
func (p *program) newSecret(s *cli.Secret, what string) (string, error) {
	secret, err := p.askNew(s, what)
	if err == nil && secret == "" && !s.Given() {
		flag := strings.ToLower(what) + "-file"
		err = cli.Usagef("say which %s: --%s FILE, or --%s - to read it from standard input", what, flag, flag)
	}
	return secret, err
}

// askNew gives the secret of a flag, or asks for it twice on the terminal, where nobody sees what is typed.
func (p *program) askNew(s *cli.Secret, what string) (string, error) {
	if !s.Given() && p.Interactive() {
		return p.askTwice(what)
	}
	return s.Value()
}

// ask gives the secret of a flag, or asks for it on the terminal.
func (p *program) ask(s *cli.Secret, prompt string) (string, error) {
	if !s.Given() && p.Interactive() {
		return p.AskSecret(prompt)
	}
	return s.Value()
}

func (p *program) tokenClearPIN() *cobra.Command {
	return p.command("clear-pin SERIAL", "Take a token's PIN away: the next sign-in sets a new one", 1, func(r run) error {
		if err := r.server.ClearPIN(r.ctx, r.args[0]); err != nil {
			return err
		}
		return p.result(map[string]string{"serial": r.args[0]}, "%s the PIN of token %s", r.verb("cleared", "clear"), r.args[0])
	})
}

func (p *program) tokenForceNewPIN() *cobra.Command {
	return p.command("force-new-pin SERIAL", "Have the user set a new PIN after the next right passcode", 1, func(r run) error {
		if err := r.server.ForceNewPIN(r.ctx, r.args[0]); err != nil {
			return err
		}
		return p.result(map[string]string{"serial": r.args[0]}, "token %s takes its PIN once more, and then a new one", r.args[0])
	})
}
