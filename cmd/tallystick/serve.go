package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/server"
)

// garbagePercent lets the heap grow to five times of what is in use: answers leave much behind
// and keep little, and by Go's own setting (100) a quarter of the time would go into collecting it.
const garbagePercent = 400

func (p *program) serveCommand() *cobra.Command {
	var c server.Config
	var level string
	var uploads int64
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Start the server; it ends at SIGTERM, SIGHUP or ctrl-c",
		Long: `Start the server. It keeps everything in one folder: the embedded database, the master key, its certificates, signed
heads of the audit log, and the admin socket that the other commands use.

Two servers may share a PostgreSQL database: give both the same --master-key and each its own --data.`,
		Args: cli.Exactly(0),
	}
	f := cmd.Flags()
	f.Func("database", "`URL` of a PostgreSQL database instead of the embedded one; a password comes from PGPASSWORD or ~/.pgpass (TALLYSTICK_DATABASE)", cli.NotEmpty(&c.Database))
	f.Func("master-key", "`file` with the master key, made at the first start (default DIR/master.key)", cli.NotEmpty(&c.MasterKey))
	f.StringVar(&c.Listen, "listen", ":8443", "`address` for apps and API clients, TLS, port 8443 unless said")
	f.StringVar(&c.AgentListen, "agent-listen", "", "`address` for agents of the SecurID Authentication API, TLS, port 5555 unless said, such as 0.0.0.0 (default none)")
	f.BoolVar(&c.AgentHMAC, "agent-require-hmac", false, "refuse agents that do not sign their requests")
	f.BoolVar(&c.AgentAlias, "agent-alias", false, "answer agents under /mfa/v1 as well")
	f.StringArrayVar(&c.RADIUS.Listen, "radius", nil, "UDP `address` for RADIUS clients, port 1812 unless said, such as 0.0.0.0; may be given several times (default none)")
	f.StringArrayVar(&c.RADIUS.Accounting, "radius-accounting", nil, "UDP `address` where RADIUS accounting is answered, and ignored; port 1813 unless said")
	f.StringVar(&c.RADIUS.Prompts, "radius-prompts", "", "`file` (TOML) with texts of RADIUS dialogues in place of the default ones")
	lifeFlag(f, &c.RADIUS.Life, "radius-challenge-life", 0, "how long a RADIUS challenge waits for its answer, 30s to 10m (default 3m)")
	f.StringVar(&c.RADIUS.RadSec, "radsec", "", "TCP `address` for RADIUS over TLS, port 2083 unless said (default none)")
	f.StringVar(&c.RADIUS.RadSecCA, "radsec-ca", "", "`file` with the certification authorities of RadSec clients (PEM)")
	f.StringVar(&c.PublicURL, "public-url", "", "`URL` under which apps reach the server, if not https://this-host:port")
	f.StringVar(&c.Metrics, "metrics", "", "`address` for Prometheus without TLS or key, such as 127.0.0.1:9090")
	f.StringVar(&c.TLSCert, "tls-cert", "", "`file` with the server's certificate chain (PEM)")
	f.StringVar(&c.TLSKey, "tls-key", "", "`file` with its private key (PEM)")
	f.StringSliceVar(&c.ACMEHosts, "acme-host", nil, "`name` to get a certificate for by ACME; may be given several times")
	f.StringVar(&c.ACMEMail, "acme-mail", "", "`address` of the ACME account")
	f.StringVar(&c.ACMEDirectory, "acme-directory", "", "`URL` of the ACME directory (default Let's Encrypt)")
	f.StringVar(&c.Service, "service-name", "Tallystick", "`name` under which apps show the issuer of tokens")
	f.Int64Var(&uploads, "upload-limit", 1024, "largest `MiB` of a file of records, or of another deployment's tokens")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var lv slog.Level
		if err := lv.UnmarshalText([]byte(level)); err != nil {
			return cli.Usagef("--log-level is debug, info, warn or error")
		}
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(garbagePercent)
		}
		if uploads < 1 || uploads > 1<<30 {
			return cli.Usagef("--upload-limit is a number of MiB, 1 or more")
		}
		c.UploadLimit = uploads << 20
		if err := p.place(&c.Data, &c.Database); err != nil {
			return err
		}
		c.Log = slog.New(slog.NewTextHandler(p.Err, &slog.HandlerOptions{Level: lv}))
		c.Printf = func(format string, args ...any) { fmt.Fprintf(p.Err, format, args...) }
		ctx := cmd.Context()
		if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
			var stop func()
			ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
			defer stop()
		}
		return outage(server.Run(ctx, c))
	}
	return cmd
}

// place fills in where a server keeps its data: the folder, and the URL of a database elsewhere.
func (p *program) place(data, database *string) (err error) {
	if *data = p.dataFolder(); *data == "" {
		return cli.Usagef("say where the server keeps its data: --data DIR")
	}
	*database, err = databaseURL(*database, "TALLYSTICK_DATABASE")
	return err
}

// databaseURL is what --database says, or else a variable. In the flag a password is refused: other users of the machine could read it. What is no URL is
// refused, and not shown, as it may hold one: it would be taken for the file of an embedded database.
func databaseURL(flag, variable string) (string, error) {
	if given := cmp.Or(flag, os.Getenv(variable)); given != "" && !strings.Contains(given, "://") {
		name := "--database"
		if flag == "" {
			name = variable
		}
		return "", cli.Usagef("%s takes the URL of a PostgreSQL database, such as postgres://tallystick@db.example.com/tallystick; without one, the embedded database is in --data", name)
	}
	if flag == "" {
		return os.Getenv(variable), nil
	}
	if u, err := url.Parse(flag); err == nil && holdsPassword(u) { // one that cannot be parsed opens no database, and is not shown
		return "", cli.Usagef("--database takes no password, as other users of this machine could read it: give the URL in %s, or the password in PGPASSWORD or in the file that PGPASSFILE names (~/.pgpass)", variable)
	}
	return flag, nil
}

func holdsPassword(database *url.URL) bool {
	_, has := database.User.Password()
	return has || database.Query().Has("password") || database.Query().Has("sslpassword")
}

// outage makes an error of the refusal of whoever needs a database that cannot be used now: here it is neither the input nor the state of anything of ours,
// but the network or the disk, which spec/cli.md tells apart.
func outage(err error) error {
	if errors.Is(err, fault.Unavailable) {
		return errors.New(err.Error())
	}
	return err
}

// dataFolder is what --data or the environment says, "" if neither does.
func (p *program) dataFolder() string {
	if p.data != "" {
		return p.data
	}
	return os.Getenv("TALLYSTICK_DATA")
}
