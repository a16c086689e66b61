// Package server opens the store, wires the transports to the domain, runs
// and stops: the one package that knows all others.
package server

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
)

// A Config is all that a server can be told. The zero value of each field
// works; Data must be given.
type Config struct {
	// Data is the folder of this server: embedded database, keys,
	// certificates, checkpoints of the audit log, admin socket. It is made with mode 0700; one
	// that is there already may be read by others, and not written to.
	Data string
	// Database is "" for the embedded database, or postgres://...
	Database string
	// MasterKey is the file that the data keys are wrapped with; "" is master.key in Data.
	// It is made at the first start. A second server on one database needs the first one's.
	MasterKey string
	// Listen is where apps and API clients connect over TLS; "" is :8443.
	Listen string
	// AgentListen is where agents of the SecurID Authentication API connect over TLS, with the certificate of Listen;
	// the port is 5555 unless it is said. "" for none.
	AgentListen string
	// AgentHMAC refuses agents that do not sign their requests, and AgentAlias answers them under /mfa/v1 as well.
	AgentHMAC, AgentAlias bool
	// RADIUS says where RADIUS clients are answered, and how.
	RADIUS RADIUS
	// PublicURL is how apps reach the server, https://host:port; "" is made from Listen and the host's name.
	PublicURL string
	// Metrics is an address for Prometheus without TLS or key, such as 127.0.0.1:9090; "" for none.
	Metrics string
	// TLSCert and TLSKey are PEM files of a certificate that clients trust already;
	// without them the server's own certification authority makes one.
	TLSCert, TLSKey string
	// ACMEHosts are names to get certificates for by ACME; ACMEMail is the account's address and
	// ACMEDirectory the authority's, "" for Let's Encrypt.
	ACMEHosts     []string
	ACMEMail      string
	ACMEDirectory string
	// Service is the name that apps show as the issuer of a token; "" is Tallystick.
	Service string
	// UploadLimit is the largest file of records, or of another deployment's tokens, that is taken in, in bytes; 0 is 1 GiB. It lies in
	// Data, sealed, while it is read.
	UploadLimit int64
	// Log takes what happens; nil discards it.
	Log *slog.Logger
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Ready, if set, is called with the address once the server answers.
	Ready func(addr net.Addr)
	// Printf, if set, tells people what they need to know once, such as a new certificate's fingerprint.
	Printf func(format string, args ...any)
}

// appPort is where apps and API clients ask unless it is said.
const appPort = "8443"

// agentPort is where agents ask unless it is said (spec/rest-authn-api.md section 1).
const agentPort = "5555"

// complete fills in what is not said and checks the rest.
func (c *Config) complete() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fault.New(fault.Invalid, "--tls-cert and --tls-key go together")
	}
	if c.TLSCert != "" && len(c.ACMEHosts) > 0 {
		return fault.New(fault.Invalid, "take a certificate from files or by ACME, not both")
	}
	if c.TLSCert != "" { // whoever mistypes is told before anything is made in Data
		if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
			return badCertificate(err)
		}
	}
	if c.PublicURL != "" {
		if _, err := c.publicURL(nil); err != nil {
			return err
		}
	}
	if c.Listen == "" {
		c.Listen = ":" + appPort
	}
	c.Listen = withPort(c.Listen, appPort)
	c.AgentListen = withPort(c.AgentListen, agentPort)
	if err := c.RADIUS.complete(); err != nil {
		return err
	}
	if c.Service == "" {
		c.Service = "Tallystick"
	}
	if c.UploadLimit < 0 {
		return fault.New(fault.Invalid, "--upload-limit is a number of MiB, 1 or more")
	}
	if c.UploadLimit == 0 {
		c.UploadLimit = 1 << 30
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Ready == nil {
		c.Ready = func(net.Addr) {}
	}
	if c.Printf == nil {
		c.Printf = func(string, ...any) {}
	}
	data, err := filepath.Abs(c.Data)
	c.Data = data
	return err
}

// file names a file in the data folder.
func (c *Config) file(name string) string { return filepath.Join(c.Data, name) }

// serverID reads what names this server to others on the database, and is made at the first start: host and folder get other names, as with every new container.
func (c *Config) serverID() (string, error) {
	path := c.file(idFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(rand.Text() + "\n")
		err = writeFile(path, text, 0o600)
	}
	id := strings.TrimSpace(string(text))
	if err == nil && id == "" {
		err = fault.New(fault.Invalid, "there is no ID in %s: remove the file, and the server makes another one", path)
	}
	return id, err
}

// SocketPath is where the admin socket of a data folder is.
func SocketPath(data string) string { return filepath.Join(data, "admin.sock") }

// publicURL is how apps reach a server that listens at addr.
func (c *Config) publicURL(addr net.Addr) (*url.URL, error) {
	if c.PublicURL != "" {
		u, err := url.Parse(strings.TrimSuffix(c.PublicURL, "/"))
		if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
			return nil, fault.New(fault.Invalid, "the public URL looks like https://tokens.example.com:8443")
		}
		return u, nil
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return nil, err
	}
	if len(c.ACMEHosts) > 0 {
		host = c.ACMEHosts[0]
	} else if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = hostName()
	}
	return &url.URL{Scheme: "https", Host: net.JoinHostPort(host, port)}, nil
}

// hostName is the machine's name, localhost if it has none.
func hostName() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}
