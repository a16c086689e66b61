package main

import (
	"context"
	"errors"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/tokenapp"
)

func (s *screen) askImport() tea.Cmd {
	return s.ask("Paste a token string or link, or type a path", "", false, s.importText)
}

// importText takes in what was pasted or typed.
func (s *screen) importText(text string) tea.Cmd {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	source, err := tokenapp.ReadSource(text, strings.NewReader(""))
	if err != nil {
		return s.fail(err)
	}
	if link, ok := source.Link(); ok {
		return s.askCode(link)
	}
	own, err := s.app.DeviceID()
	if err != nil {
		return s.fail(err)
	}
	return s.open(source, tokenapp.Access{Own: own})
}

// open opens the source, asking for its password until it is right or the user
// has had enough.
func (s *screen) open(source *tokenapp.Source, access tokenapp.Access) tea.Cmd {
	tokens, err := source.Open(access)
	switch fault.CodeOf(err) {
	case fault.WrongPassword:
		s.fail(err)
		fallthrough
	case fault.PasswordRequired:
		return s.ask("Password of the token", "", true, func(password string) tea.Cmd {
			s.message = ""
			access.Password = password
			return s.open(source, access)
		})
	}
	if err != nil {
		return s.fail(err)
	}
	return s.take(tokens, tokenapp.ImportOptions{})
}

// take imports the opened tokens, and asks before it replaces one.
func (s *screen) take(tokens []tokenapp.Token, o tokenapp.ImportOptions) tea.Cmd {
	added, err := s.app.Import(tokens, o)
	if err != nil {
		return s.orReplace(err, func() tea.Cmd {
			o.Replace = true
			return s.take(tokens, o)
		})
	}
	return s.imported(added)
}

// orReplace asks whether a held token is to get the new seed, where that is
// what err is about.
func (s *screen) orReplace(err error, replace func() tea.Cmd) tea.Cmd {
	if !tokenapp.Replaceable(err) {
		return s.fail(err)
	}
	text := "A token of this serial number is here already. Give it the new seed?"
	if fault.CodeOf(err) == fault.StoreFull { // whose seed it is, only the exchange will tell
		text = "There is no room for another token: delete one first, unless this is a new seed for one that is here. Is it?"
	}
	s.question = &question{text, replace}
	return nil
}

func (s *screen) imported(added []tokenapp.Token) tea.Cmd {
	var names []string
	for _, t := range added {
		names = append(names, name(t))
	}
	notices, err := waitingFor(s.app, added)
	if err != nil {
		return s.fail(err)
	}
	cmd := s.reload(strings.Join(append([]string{"imported " + strings.Join(names, ", ")}, notices...), "; "))
	for i, t := range s.tokens {
		if t.Serial == added[0].Serial {
			s.choose(i)
		}
	}
	s.forgetPIN() // it belonged to the old seed
	return cmd
}

// askCode goes on with a link, for whose activation code it asks if need be.
func (s *screen) askCode(link ctkip.Link) tea.Cmd {
	if link.Code != "" {
		return s.provision(link, tokenapp.ImportOptions{})
	}
	return s.ask("Activation code", "", true, func(code string) tea.Cmd {
		link.Code = ctkip.Code(strings.TrimSpace(code))
		return s.provision(link, tokenapp.ImportOptions{})
	})
}

// provision fetches a token while the view goes on counting. The view leaves
// the database alone meanwhile.
func (s *screen) provision(link ctkip.Link, o tokenapp.ImportOptions) tea.Cmd {
	roots, err := cli.Roots(s.c.ca)
	if err != nil {
		return s.fail(err)
	}
	s.working = "fetching the token"
	s.progress.Store("")
	return func() tea.Msg {
		var warnings []string
		p := tokenapp.Provisioner{
			Roots:    roots,
			Warn:     func(message string) { warnings = append(warnings, message) },
			Progress: func(message string) { s.progress.Store(message) },
		}
		t, err := s.app.Provision(context.Background(), link, o, p)
		return outcomeMsg(func() tea.Cmd {
			if err != nil {
				return s.orReplace(err, func() tea.Cmd {
					o.Replace = true
					return s.provision(link, o)
				})
			}
			cmd := s.imported([]tokenapp.Token{t})
			if len(warnings) > 0 {
				s.fail(errors.New(strings.Join(warnings, "; ")))
			}
			return cmd
		})
	}
}
