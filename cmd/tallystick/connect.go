package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/server"
)

// connect is the client of the server that the flags or the environment name.
func (p *program) connect() (*client.Client, error) {
	if p.server != "" && p.data != "" { // one of the two would be taken, and the other one was meant
		return nil, cli.Usagef("give --data for a server on this machine or --server for one elsewhere, not both")
	}
	url := p.server
	if url == "" && p.data == "" {
		url = os.Getenv("TALLYSTICK_SERVER")
	}
	if url == "" {
		if p.keyFile != "" || p.ca != "" { // the socket would take the call with all rights, whatever the key has
			return nil, cli.Usagef("--api-key-file and --ca are for a server elsewhere: name it with --server URL")
		}
		data := p.dataFolder()
		if data == "" {
			return nil, cli.Usagef("say which server: --data DIR for one on this machine, --server URL for one elsewhere")
		}
		return client.Unix(server.SocketPath(data)), nil
	}
	p.url = url
	key, err := p.apiKey()
	if err != nil {
		return nil, err
	}
	hc, err := p.httpClient()
	if err != nil {
		return nil, err
	}
	c, err := client.New(url, key, hc)
	if err != nil {
		return nil, cli.Usagef("--server: %v", err)
	}
	return c, nil
}

// apiKey reads the key for --server.
func (p *program) apiKey() (string, error) {
	key, err := p.ReadSecret(p.keyFile, "TALLYSTICK_API_KEY")
	if err == nil && key == "" {
		err = cli.Usagef("a server elsewhere takes an API key: --api-key-file FILE or TALLYSTICK_API_KEY")
	}
	return strings.TrimSpace(key), err
}

func (p *program) httpClient() (*http.Client, error) {
	roots, err := cli.Roots(p.ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}, nil
}

// notYourSocket is the refusal of the admin socket, which only the owner of the data folder may use.
func notYourSocket(data string) error {
	me, owner := userName(os.Geteuid()), ""
	if info, err := os.Stat(data); err == nil { // else it lies in a folder that cannot be looked into either
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			owner = userName(int(stat.Uid))
		}
	}
	as := "as the user who runs the server, who alone may"
	if owner != "" {
		as = fmt.Sprintf("as %s, who runs the server ('sudo -u %[1]s tallystick ...')", owner)
	}
	return fault.New(fault.Forbidden, "user %s may not use the admin socket %s: call this %s, or give --server URL with an API key", me, server.SocketPath(data), as)
}

// userName is what the system calls a user of a number, which it is called by where it has no name.
func userName(id int) string {
	u, err := user.LookupId(strconv.Itoa(id))
	if err != nil {
		return strconv.Itoa(id)
	}
	return u.Username
}

// understood turns an error of the client into what this program shows: refusals keep their code.
func (p *program) understood(err error) error {
	var refused *client.Error
	var unreachable *net.OpError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted: what the server had begun by then it may have done")
	case errors.As(err, &refused) && refused.Status == http.StatusBadRequest && refused.CorrelationID == "" && strings.HasPrefix(p.url, "http://"): // Go's server says no more
		return cli.Usagef("--server %s: that server does not answer plain http: write https://", p.url)
	case errors.As(err, &refused) && refused.Code == string(fault.Unavailable) && refused.Details["because"] == nil: // the disk or network of the server, see outage
		return fmt.Errorf("%s (%s)", refused.Message, refused.Code)
	case errors.As(err, &refused) && (refused.Status < 500 || refused.Code == string(fault.Unavailable)):
		return &fault.Error{Code: fault.Code(refused.Code), Message: refused.Message, Details: refused.Details}
	case errors.As(err, &refused):
		return fmt.Errorf("%s (%s, correlation ID %s: the server's log says more)", refused.Message, refused.Code, refused.CorrelationID)
	case errors.As(err, &unreachable) && unreachable.Op == "dial" && unreachable.Net == "unix" && errors.Is(err, fs.ErrPermission):
		return notYourSocket(p.dataFolder())
	case errors.As(err, &unreachable) && unreachable.Op == "dial" && unreachable.Net == "unix":
		return fmt.Errorf("no server answers at %s: start it with 'tallystick serve --data %s'", server.SocketPath(p.dataFolder()), p.dataFolder())
	case errors.As(err, &untrusted):
		told := strings.Map(printable, err.Error()) // the names in a certificate are whatever whoever made it likes
		return fmt.Errorf("%s: if the server is yours, give the authority that signed its certificate with --ca FILE (ca.pem in its data folder, if it made its own)", told)
	}
	return err
}
