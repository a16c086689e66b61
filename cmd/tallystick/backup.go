package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/backup"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
	"github.com/tallystick/tallystick/internal/server"
)

func (p *program) backupCommand() *cobra.Command {
	var to []string
	var out string
	var keys bool
	cmd := p.command("backup", "Take a sealed copy of everything while the server runs", 0, nil)
	cmd.Long = `Take a sealed copy of everything while the server runs: all that its database holds at one moment, in an age file
that one password or private key opens.

The master key is not inside unless asked for. Keep a copy of it elsewhere: without it nothing in a backup opens.
'tallystick restore' brings a backup back, into either kind of database.`
	password := p.SecretFlag(cmd, "password-file", "password to seal the backup with", passwordVariables...)
	cmd.Flags().StringArrayVar(&to, "to", nil, "public `key` of age to seal it for instead; may be given several times ('tallystick backup keygen' makes one)")
	cmd.Flags().StringVar(&out, "out", "", "`file` to write")
	cmd.Flags().BoolVar(&keys, "include-keys", false, "put the master key and the server's certification authority inside: whoever opens the backup then has every seed")
	p.does(cmd, func(r run) error {
		if out == "" {
			return cli.Usagef("say where the backup goes: --out FILE")
		}
		if len(to) > 0 && password.Flagged() {
			return cli.Usagef("a backup is sealed with a password or for keys: give --password-file or --to")
		}
		in := client.BackupRequest{To: to, IncludeKeys: keys}
		if len(to) == 0 {
			secret, err := p.askNew(password, "Password for the backup")
			if err != nil {
				return err
			}
			if secret == "" {
				return cli.Usagef("say for whom the backup is sealed: --password-file FILE or --to KEY")
			}
			in.Password = client.Secret(secret)
		}
		if keys {
			p.Note("the master key is inside: whoever opens this file has every seed of the deployment. Keep it as you would keep them")
		}
		size, err := p.writeWhole(out, func(w io.Writer) error { return r.server.Backup(r.ctx, in, w) })
		if err != nil {
			return err
		}
		return p.wrote(out, map[string]any{"file": out, "bytes": size, "with_keys": keys}, "wrote %s, %d bytes; 'tallystick backup verify' reads it to the end", out, size)
	})
	cmd.AddCommand(p.backupVerify(), p.backupKeygen())
	return cmd
}

// A backupKey is how a command opens a backup.
type backupKey struct {
	*program
	password *cli.Secret
	identity string
}

func (p *program) backupKeyFlags(cmd *cobra.Command) *backupKey {
	k := &backupKey{program: p, password: p.SecretFlag(cmd, "password-file", "password of the backup", passwordVariables...)}
	cmd.Flags().StringVar(&k.identity, "identity", "", "`file` with the private key of a backup that was sealed to a public key")
	return k
}

func (k *backupKey) identities() ([]age.Identity, error) {
	if k.identity != "" {
		if k.password.Flagged() {
			return nil, cli.Usagef("a backup is opened with a password or a private key: give --password-file or --identity")
		}
		file, err := os.ReadFile(k.identity)
		if err != nil {
			return nil, err
		}
		defer clear(file)
		return backup.ByKeys(file)
	}
	secret, err := k.ask(k.password, "Password of the backup: ")
	if err != nil {
		return nil, err
	}
	if secret == "" {
		return nil, cli.Usagef("say what opens the backup: --password-file FILE or --identity FILE")
	}
	i, err := backup.ByPassword(secret)
	return []age.Identity{i}, err
}

func (p *program) backupVerify() *cobra.Command {
	var master string
	cmd := &cobra.Command{Use: "verify FILE", Short: "Read a backup to its end and say what is in it", Args: cli.Exactly(1)}
	key := p.backupKeyFlags(cmd)
	cmd.Flags().Func("master-key", "`file` with the deployment's master key, kept apart from the backup, to prove that the deployment made the backup and that it opens", cli.NotEmpty(&master))
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		identities, err := key.identities()
		if err != nil {
			return err
		}
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		r, err := backup.NewReader(f, identities...)
		if err != nil {
			return err
		}
		var m seed.Master
		if master != "" {
			if m, err = seed.MasterFromFile(master); err != nil {
				return err
			}
		}
		known, err := backup.Check(r, m)
		if err != nil {
			return err
		}
		return p.showBackup(r, known)
	}
	return cmd
}

// backupDocument is the JSON document about a backup.
func backupDocument(h backup.Header, c backup.Contents) map[string]any {
	rows := map[string]int64{}
	for _, t := range c.Tables {
		rows[t.Name] = t.Rows
	}
	return map[string]any{
		"taken_at": h.TakenAt, "release": h.Release, "master_key": h.Master, "with_keys": len(h.Files) > 0,
		"schema_version": newest(h.Schema.Migrations), "rows": rows,
	}
}

func newest(migrations []int64) (n int64) {
	for _, m := range migrations {
		n = max(n, m)
	}
	return n
}

func (p *program) showBackup(r *backup.Reader, known bool) error {
	h, c := r.Header(), r.Contents()
	document := backupDocument(h, c)
	document["proven"] = known
	if p.JSON {
		return p.PrintJSON(document)
	}
	p.fields("taken", date(&h.TakenAt), "by release", h.Release, "schema", strconv.FormatInt(newest(h.Schema.Migrations), 10), "master key", h.Master,
		"keys inside", yesNo(len(h.Files) > 0))
	var tables []string
	for _, t := range c.Tables {
		if t.Rows > 0 {
			tables = append(tables, "  "+t.Name, strconv.FormatInt(t.Rows, 10))
		}
	}
	p.fields(tables...)
	if known {
		fmt.Fprintln(p.Out, "The backup is whole, and this deployment made it.")
		return nil
	}
	if h.Files[backup.MasterKeyFile] != nil {
		fmt.Fprintf(p.Out, "The backup is whole, and whoever has master key %s, which is inside, made it. Whether that is this deployment's, yours says: give it with --master-key FILE.\n", h.Master)
		return nil
	}
	fmt.Fprintln(p.Out, "The backup is whole. Who made it is not known: give the master key with --master-key FILE.")
	return nil
}

func (p *program) backupKeygen() *cobra.Command {
	var out string
	cmd := &cobra.Command{Use: "keygen", Short: "Make a key pair to seal backups with; needs no server", Args: cli.Exactly(0)}
	cmd.Flags().StringVar(&out, "out", "", "`file` to write the private key to; keep it away from the server")
	cmd.RunE = func(*cobra.Command, []string) error {
		if out == "" {
			return cli.Usagef("say where the private key goes: --out FILE")
		}
		private, public, err := backup.NewKey()
		if err != nil {
			return err
		}
		f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // never over a key that backups may need
		if errors.Is(err, fs.ErrExist) {
			return fault.New(fault.Conflict, "%s is there already, and backups may need it: name another file with --out", out)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(f, "# public key: %s\n%s\n", public, private)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		return p.result(map[string]string{"public_key": public, "file": out}, "%s", public)
	}
	return cmd
}

func (p *program) restoreCommand() *cobra.Command {
	var r server.Restore
	var until string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Bring a backup back, into a data folder or database where nothing is",
		Long: `Bring a backup back, into the data folder --data where there is no database, or into an empty PostgreSQL database
(--database). The whole file is checked before anything is written.

The server that the backup is of must not run any more. It may have accepted codes after the backup was taken, so all codes
up to now count as used, or up to --until, which is after the backup and an hour ahead at most: sign-ins go on a minute or two later. If it accepted none since, as it was
stopped or cut off before, or this is a trial, --until backup lets tokens sign in at once. --trial has the restored server
reach nobody by itself: mail off, webhooks disabled, directories left alone. Open activation codes and dialogues are over. What was changed after the backup was taken is as it was then: see docs/backup.md.`,
		Args: cli.Exactly(1),
	}
	key := p.backupKeyFlags(cmd)
	f := cmd.Flags()
	f.Func("database", "`URL` of an empty PostgreSQL database instead of the embedded one (TALLYSTICK_DATABASE)", cli.NotEmpty(&r.Database))
	f.Func("master-key", "`file` with the master key (default DIR/master.key, or the one in the backup)", cli.NotEmpty(&r.MasterKey))
	f.StringVar(&until, "until", "", "`time` up to which the old server may have accepted codes (default now), or backup: none after the backup was taken")
	f.BoolVar(&r.Trial, "trial", false, "mail off, webhooks disabled, and no directory synchronised by itself, so that a trial reaches nobody")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := p.place(&r.Data, &r.Database)
		if err != nil {
			return err
		}
		if r.Unused = until == "backup"; until != "" && !r.Unused {
			if r.Until, err = moment("--until", until); err != nil {
				return cli.Usagef("--until takes a time such as 2026-01-31T12:00:00Z, or the word backup")
			}
		}
		if r.Keys, err = key.identities(); err != nil {
			return err
		}
		file, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		r.File = file
		done, err := r.Run(cmd.Context())
		if err != nil {
			return outage(err)
		}
		return p.showRestored(r, done)
	}
	return cmd
}

func (p *program) showRestored(r server.Restore, done server.Restored) error {
	if wait := time.Until(done.From); wait > 0 {
		p.Note(fmt.Sprintf("codes that apps show now are refused for %.0f seconds, as they may have been used: have nobody sign in before", math.Ceil(wait.Seconds())))
	}
	if !done.Proven {
		p.Note(fmt.Sprintf("whoever has master key %s, which is in the backup, made it: if you took it from others, hold it against your own with --master-key FILE", done.Master))
	}
	if len(done.Left) > 0 {
		p.Note(fmt.Sprintf("left out what is of others in the backup: table %s", strings.Join(done.Left, ", ")))
	}
	if r.Trial {
		p.Note("as a trial it reaches nobody by itself; to go on with it: 'mail settings edit --enable', 'webhook edit NAME --enable' and 'directory edit NAME --every TIME'")
	}
	if p.JSON {
		document := backupDocument(done.Header, done.Contents)
		document["trial"] = r.Trial
		document["proven"], document["codes_used_until"], document["codes_count_from"] = done.Proven, done.Until, done.From
		document["revoked_activation_codes"], document["revoked_serials"] = len(done.Codes), append([]string{}, done.Codes...)
		if len(done.Left) > 0 {
			document["left_out_tables"] = done.Left
		}
		if done.OldCheckpoints != "" {
			document["old_checkpoints"] = done.OldCheckpoints
		}
		return p.PrintJSON(document)
	}
	rows := int64(0)
	for _, t := range done.Contents.Tables {
		if !slices.Contains(done.Left, t.Name) {
			rows += t.Rows
		}
	}
	fmt.Fprintf(p.Out, "restored %d rows of %d tables, as they were at %s\n", rows, len(done.Contents.Tables)-len(done.Left), date(&done.TakenAt))
	if r.Unused {
		fmt.Fprintln(p.Out, "codes count as used as they did then: tokens sign in at once")
	} else {
		fmt.Fprintf(p.Out, "codes of %s count as used up to %s: those that are shown from %s on sign in\n", counted(done.Tokens, "seed"), date(&done.Until), date(&done.From))
	}
	if len(done.Codes) > 0 {
		fmt.Fprintf(p.Out, "revoked %s: offer those tokens again: %s\n", counted(len(done.Codes), "open activation code"), strings.Join(done.Codes, ", "))
	}
	if done.OldCheckpoints != "" {
		fmt.Fprintf(p.Out, "the signed heads of the audit log that was here are in %s now: they prove what it held\n", done.OldCheckpoints)
	}
	if _, err := os.Stat(filepath.Join(r.Data, "ca.pem")); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(p.Out, "If the old server made its own certification authority, copy its ca.pem and ca.key into %s first: apps and agents trust that one, and the server would make another.\n", r.Data)
	}
	start := "tallystick serve --data " + r.Data
	if r.Database != "" {
		start += " --database URL"
	}
	if r.MasterKey != "" {
		start += " --master-key " + r.MasterKey
	}
	fmt.Fprintf(p.Out, "Start it with '%s'.\n", start)
	fmt.Fprintln(p.Out, "Go through what was changed since: API keys that were deleted, users and tokens that were disabled, seeds that were replaced.")
	return nil
}
