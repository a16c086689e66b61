package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) directoryCommands() *cobra.Command {
	return group("directory", "LDAP directories that people come from",
		p.directoryAdd(), p.directoryList(), p.directoryShow(), p.directoryEdit(), p.directoryTest(), p.directorySync(), p.directoryDelete())
}

// directoryFlags are the settings of a directory.
type directoryFlags struct {
	text                       map[string]*string
	startTLS, lowerCase, adopt bool
	disabledBy                 []string
	pageSize, maxLost          int
	every                      time.Duration
	password                   *cli.Secret
}

func (f *directoryFlags) on(p *program, cmd *cobra.Command) {
	s := cmd.Flags()
	f.text = map[string]*string{}
	for name, usage := range map[string]string{
		"url":          "`URL`: ldaps://ldap.example.com, or ldap://ldap.example.com with --start-tls",
		"ca-file":      "`file` with the certification authority that signed the directory's certificate (default the system's)",
		"bind-dn":      "`name` to sign in with",
		"base-dn":      "`name` of the entry below which people are: ou=people,dc=example,dc=com",
		"filter":       "`filter` that finds people",
		"user-id":      "`attribute` that is the user ID (default uid, or sAMAccountName)",
		"name":         "`attribute` that is the name of a person (default cn, or displayName)",
		"mail":         "`attribute` that is the mail address (default mail)",
		"groups":       "how groups are found: memberof, search or none",
		"group-base":   "`name` of the entry below which groups are (default --base-dn)",
		"group-filter": "`filter` that finds groups",
	} {
		f.text[name] = s.String(name, "", usage)
	}
	s.BoolVar(&f.startTLS, "start-tls", false, "begin TLS on an ldap:// connection")
	s.BoolVar(&f.lowerCase, "lower-case", false, "take user IDs in lower case")
	s.BoolVar(&f.adopt, "adopt", false, "take over users who were made by hand and are there too")
	s.StringSliceVar(&f.disabledBy, "disabled-by", nil, "`attributes` that tell whether somebody is disabled: userAccountControl, accountExpires, shadowExpire, nsAccountLock, pwdAccountLockedTime, loginShell; '' for none")
	s.IntVar(&f.pageSize, "page-size", 0, "entries that are asked for at once (default 500)")
	s.IntVar(&f.maxLost, "max-lost", 0, "`percent` of people that one synchronisation disables, and of memberships that it ends, without being forced (default 10)")
	lifeFlag(s, &f.every, "every", 0, "synchronise so often, such as 1h, and first after that time or when asked (default only when asked)")
	f.password = p.SecretFlag(cmd, "password-file", "password of --bind-dn", "TALLYSTICK_PASSWORD")
}

// edit is what was given.
func (f *directoryFlags) edit(cmd *cobra.Command) (client.DirectoryEdit, error) {
	text := func(name string) *string { return given(cmd, name, f.text[name]) }
	e := client.DirectoryEdit{
		URL: text("url"), BindDN: text("bind-dn"), BaseDN: text("base-dn"), Filter: text("filter"), UserID: text("user-id"), Name: text("name"), Mail: text("mail"),
		Groups: text("groups"), GroupBase: text("group-base"), GroupFilter: text("group-filter"), StartTLS: given(cmd, "start-tls", &f.startTLS),
		LowerCase: given(cmd, "lower-case", &f.lowerCase), Adopt: given(cmd, "adopt", &f.adopt), DisabledBy: given(cmd, "disabled-by", &f.disabledBy),
		PageSize: given(cmd, "page-size", &f.pageSize), MaxLost: given(cmd, "max-lost", &f.maxLost),
	}
	if every := seconds(f.every); cmd.Flags().Changed("every") {
		e.EverySeconds = &every
	}
	if file := text("ca-file"); file != nil {
		pem, err := authorities(*file)
		if err != nil {
			return e, err
		}
		e.CA = &pem
	}
	if f.password.Given() {
		value, err := f.password.Value()
		if err != nil {
			return e, err
		}
		password := client.Secret(value)
		e.Password = &password
	}
	return e, nil
}

func (p *program) directoryAdd() *cobra.Command {
	var f directoryFlags
	var d client.NewDirectory
	cmd := p.command("add NAME", "Add a directory; 'directory sync NAME --dry-run' then says who would come", 1, nil)
	f.on(p, cmd)
	cmd.Flags().StringVar(&d.Kind, "kind", "openldap", "openldap (also 389 and FreeIPA) or ad (Active Directory): the defaults of the rest")
	domainFlag(cmd, &d.Domain)
	p.does(cmd, func(r run) error {
		edit, err := f.edit(cmd)
		if err != nil {
			return err
		}
		d.Directory, d.DirectoryEdit = r.args[0], edit
		if edit.BindDN != nil && edit.Password == nil && p.Interactive() {
			secret, err := p.AskSecret("Password of " + *edit.BindDN + ": ")
			if err != nil {
				return err
			}
			password := client.Secret(secret)
			d.Password = &password
		}
		added, err := r.server.AddDirectory(r.ctx, d)
		if err != nil {
			return err
		}
		return p.result(map[string]string{"directory": added.Directory}, "added directory %s; 'directory test %s' tells whether it answers", added.Directory, added.Directory)
	})
	return cmd
}

func (p *program) directoryList() *cobra.Command {
	return p.command("list", "List the directories", 0, func(r run) error {
		all, err := r.server.Directories(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, client.DirectoryList{Directories: all}, []string{"DIRECTORY", "KIND", "URL", "EVERY", "LAST"}, all, func(d client.Directory) []string {
			return []string{d.Directory, d.Kind, d.URL, everyWord(d), lastWord(d)}
		})
	})
}

func everyWord(d client.Directory) string {
	if d.EverySeconds == 0 {
		return "when asked"
	}
	return life(d.EverySeconds)
}

// lastWord says what came of the last synchronisation.
func lastWord(d client.Directory) string {
	switch {
	case d.Last == nil:
		return "never"
	case d.Last.Code != "":
		return date(&d.Last.At) + " " + d.Last.Code
	}
	return date(&d.Last.At)
}

func (p *program) directoryShow() *cobra.Command {
	return p.command("show NAME", "Show a directory, and what came of its last synchronisation", 1, func(r run) error {
		d, err := r.server.Directory(r.ctx, r.args[0])
		if err != nil || p.JSON {
			return p.unless(err, d)
		}
		p.fields("directory", d.Directory, "kind", d.Kind, "url", d.URL, "StartTLS", yesNo(d.StartTLS), "own authority", yesNo(d.CA != ""), "bind DN", d.BindDN, "people below", d.BaseDN,
			"filter", d.Filter, "user ID", d.UserID, "name", d.Name, "mail", d.Mail, "disabled by", strings.Join(d.DisabledBy, ", "), "lower case", yesNo(d.LowerCase),
			"groups", d.Groups, "groups below", d.GroupBase, "group filter", d.GroupFilter, "page size", number(d.PageSize), "most disabled", number(d.MaxLost)+" %",
			"adopts", yesNo(d.Adopt), "domain", unlessRoot(d.Domain), "synchronised", everyWord(d), "last", lastWord(d), "version", number(d.Version))
		if d.Last != nil {
			p.fields("outcome", d.Last.Message)
		}
		return nil
	})
}

func (p *program) directoryEdit() *cobra.Command {
	var f directoryFlags
	cmd := p.command("edit NAME", "Change a directory", 1, nil)
	f.on(p, cmd)
	version := versionFlag(cmd, "the directory is")
	p.does(cmd, func(r run) error {
		edit, err := f.edit(cmd)
		if err != nil {
			return err
		}
		return edits(p, r, "directory "+r.args[0], func() (client.Directory, error) { return r.server.Directory(r.ctx, r.args[0]) }, func() (client.Directory, error) {
			return r.server.EditDirectory(r.ctx, r.args[0], *version, edit)
		})
	})
	return cmd
}

func (p *program) directoryTest() *cobra.Command {
	return p.command("test NAME", "Read a directory and change nothing", 1, func(r run) error {
		found, err := r.server.TestDirectory(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		return p.result(found, "directory %s answers: %s, and %d without a user ID%s", r.args[0], counted(found.Found, "user"), found.Skipped, referralsWord(found.Referrals))
	})
}

// referralsWord says what is not read, if there is anything.
func referralsWord(n int) string {
	if n == 0 {
		return ""
	}
	return "; not followed: " + counted(n, "referral") + " to other servers"
}

func (p *program) directorySync() *cobra.Command {
	var w client.SyncWish
	cmd := p.command("sync NAME", "Take the people of a directory: new ones, changed ones, disabled ones", 1, func(r run) error {
		done, err := r.server.SyncDirectory(r.ctx, r.args[0], w)
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(done)
		}
		if err := p.appliedUsers(done.Users); err != nil {
			return err
		}
		verb := ""
		if w.DryRun {
			verb = "would be "
		}
		return p.result(nil, "%d found, %d of before missing; memberships: %s%d added, %d ended%s", done.Found, done.Missing, verb, done.Joined, done.Left, referralsWord(done.Referrals))
	})
	cmd.Flags().BoolVar(&w.DryRun, "dry-run", false, "only show who would be added, changed or disabled")
	cmd.Flags().BoolVar(&w.Force, "force", false, "disable more people, or end more memberships, than --max-lost of the directory; never everybody")
	return cmd
}

func (p *program) directoryDelete() *cobra.Command {
	return p.deletion("delete NAME", "Forget a directory; its people stay, as if they had been made by hand", func(r run) error {
		return r.server.DeleteDirectory(r.ctx, r.args[0])
	})
}
