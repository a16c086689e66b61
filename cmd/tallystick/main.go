// Command tallystick is the server, and the administrator's command line for
// it. Its commands, flags, exit statuses and JSON documents are the contract of
// spec/cli.md.
//
// All commands but serve talk to a running server through its management API:
// over the admin socket of a data folder on the same machine, or over HTTPS
// with an API key. One file here is one group of commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{Program: cli.Program{Name: "tallystick", In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Hints: hints, Text: true}}
	status := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

// program is one run: the streams and the flags that every command has.
type program struct {
	cli.Program
	data    string
	server  string
	url     string // of the server that is asked, "" for one on this machine
	keyFile string
	ca      string
}

const about = `tallystick runs the server of software tokens, and administers it.

  tallystick serve --data DIR              start the server
  tallystick user add alice                the person
  tallystick profile add phone --device-type android --delivery ctkip
  tallystick token create --count 1        the token: its seed is made here
  tallystick token assign --user alice     the next available one
  tallystick token distribute SERIAL --profile phone
  tallystick check alice                   is this passcode right?

The commands find a server on this machine by --data DIR or TALLYSTICK_DATA, and one elsewhere by
--server URL with an API key from --api-key-file FILE or TALLYSTICK_API_KEY. Secrets come from a
prompt, from a file (--password-file F and so on; - is standard input) or from the environment,
never from the command line.`

// run runs the command that args name, and returns the exit status.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root(args)
	if err := p.CheckArgs(args); err != nil {
		return p.Exit(err)
	}
	return p.Exit(root.ExecuteContext(ctx))
}

// root is the command that has all others below it.
func (p *program) root(args []string) *cobra.Command {
	root := &cobra.Command{Use: "tallystick", Long: about, Args: cli.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if p.JSON {
			return cli.Usagef("name a command: a help is no document")
		}
		return cmd.Help()
	}}
	p.Prepare(root, args)
	flags := root.PersistentFlags()
	flags.Func("data", "data `directory` of the server (TALLYSTICK_DATA)", cli.NotEmpty(&p.data))
	flags.Func("server", "`URL` of a server elsewhere (TALLYSTICK_SERVER)", cli.NotEmpty(&p.server))
	flags.Func("api-key-file", "`file` with the API key for --server (TALLYSTICK_API_KEY); - is standard input", cli.NotEmpty(&p.keyFile))
	flags.StringVar(&p.ca, "ca", "", "`file` with the certification authority that signed the certificate of --server")
	root.AddCommand(p.commands()...)
	dryRuns(root)
	withoutDefaults(root)
	p.completion(root)
	return root
}

// commands is the table of command groups.
func (p *program) commands() []*cobra.Command {
	return []*cobra.Command{
		p.serveCommand(),
		p.userCommands(),
		p.groupCommands(),
		p.domainCommands(),
		p.directoryCommands(),
		p.deviceCommands(),
		p.profileCommands(),
		p.policyCommands(),
		p.applyCommand(),
		p.settingsCommands(),
		p.tokenCommands(),
		p.jobCommands(),
		p.checkCommand(),
		p.agentCommands(),
		p.radiusCommands(),
		p.apiKeyCommands(),
		p.keyCommands(),
		p.clockCommands(),
		p.reportCommands(), p.monitorCommand(),
		p.auditCommands(), p.changesCommand(), p.webhookCommands(),
		p.mailCommands(),
		p.backupCommand(), p.restoreCommand(), p.transferCommands(),
		p.benchCommand(),
		p.whoamiCommand(),
	}
}

// group is a command that only has subcommands.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: name, Short: short, Args: cli.NoArgs, RunE: func(*cobra.Command, []string) error {
		return cli.Usagef("%s takes one of its subcommands", name)
	}}
	g.AddCommand(commands...)
	return g
}

// hints are next steps that a message of the server does not name, since they are flags or commands of this program.
var hints = map[fault.Code]string{
	fault.PasswordRequired: "give the password with --password-file FILE, or --password-file - to read it from standard input",
	fault.ImportPassword:   "give the password with --password-file FILE, or --password-file - to read it from standard input",
	fault.DeviceIDRequired: "give it with --device-id ID",
	fault.ReasonRequired:   "give it with --note TEXT",
	fault.UserNotFound:     "'tallystick user list' shows the users",
	fault.DomainNotFound:   "'tallystick domain list' shows the domains",
	fault.GroupNotFound:    "'tallystick group list' shows the groups",
	fault.TokenNotFound:    "'tallystick token list' shows the tokens",
	fault.ProfileNotFound:  "'tallystick profile list' shows the profiles",
	fault.ProfileInUse:     "'tallystick profile delete NAME --successor OTHER' names one for tokens and codes",
	fault.PlaceUnknown:     "'tallystick changes' shows the places",
	fault.NoToken:          "'tallystick token create --count N' makes tokens, 'tallystick token import FILE' takes them from a file",
	fault.JobNotFound:      "'tallystick job list' shows the jobs; the one that 'token distribute SERIAL --json' names is none of these, but the correlation_id of its events in 'audit list --json'",
	fault.Unauthorized:     "'tallystick api-key add NAME --role ROLE' on the server's machine makes a key",
}
