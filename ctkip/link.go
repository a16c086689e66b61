package ctkip

import (
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// A Link says where to provision a token from and, mostly, with which code.
type Link struct {
	URL  string // of the provisioning service, https
	Code Code   // empty: ask the user
}

// Schemes of links that open an app, for [Link.Text].
const (
	AppScheme           = "com.rsa.securid"      // SecurID apps; what a QR code holds
	AuthenticatorScheme = "securidauthenticator" // RSA Authenticator 4 and later
)

const (
	maxLink      = 4096
	loopbackPath = "/securid/ctkip"
)

// ParseLink reads a link of any form that is in use (ct-kip.md, 6.3): an app's scheme, the same
// parameters behind a loop-back address, or the bare https URL of the service, whose code the user
// enters. ErrLink is for anything else.
//
// A link to plain http comes back together with ErrInsecure: a caller may go on with it where a
// user has insisted, on a test network.
func ParseLink(link string) (Link, error) {
	link = strings.TrimSpace(link)
	if len(link) > maxLink {
		return Link{}, fmt.Errorf("%w: it is too long", ErrLink)
	}
	scheme, rest, _ := strings.Cut(link, "://")
	address, query, _ := strings.Cut(rest, "?")
	switch address = strings.ToLower(strings.TrimSuffix(address, "/")); strings.ToLower(scheme) {
	case AppScheme, AuthenticatorScheme:
		if address == "ctkip" {
			return parseParameters(query)
		}
	case "http", "https":
		switch address {
		case "127.0.0.1" + loopbackPath, "localhost" + loopbackPath:
			return parseParameters(query)
		}
		return check(Link{URL: link})
	}
	return Link{}, fmt.Errorf("%w: unknown form", ErrLink)
}

// parseParameters reads scheme, url and activationCode. Writers do not agree on case, and most put
// the url there without percent-encoding, so it ends at the next "&" and not where a query parser
// would end it.
func parseParameters(query string) (Link, error) {
	values := map[string]string{}
	for parameter := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(parameter, "=")
		if name = strings.ToLower(name); name == "schema" {
			name = "scheme"
		}
		value, err := url.PathUnescape(value) // a plus sign is a plus sign
		if _, twice := values[name]; err != nil || twice {
			return Link{}, fmt.Errorf("%w: its parameters are garbled", ErrLink)
		}
		values[name] = value
	}
	scheme, address := strings.ToLower(values["scheme"]), values["url"]
	if own, rest, ok := strings.Cut(address, "://"); ok && !strings.ContainsAny(own, ":/?") { // else it is further inside the URL
		own = strings.ToLower(own)
		if scheme != "" && scheme != own {
			return Link{}, fmt.Errorf("%w: it names two schemes", ErrLink)
		}
		scheme, address = own, rest
	}
	if scheme == "" {
		scheme = "https"
	}
	return check(Link{URL: scheme + "://" + address, Code: Code(values["activationcode"])})
}

// check accepts a link whose URL leads to a host over http or https.
func check(l Link) (Link, error) {
	u, err := url.Parse(l.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "",
		strings.ContainsFunc(u.Host, func(r rune) bool { return !unicode.IsPrint(r) }), // resolvers drop what turns text around, and people would read another host
		strings.HasSuffix(u.Host, ":"): // and no port: inside a link it would look like a scheme
		return Link{}, fmt.Errorf("%w: no usable URL", ErrLink)
	case l.Code != "" && !l.Code.valid():
		return Link{}, fmt.Errorf("%w: the code has characters that none has", ErrLink)
	case u.Scheme == "https":
		return l, nil
	case u.Scheme == "http":
		return l, ErrInsecure
	}
	return Link{}, fmt.Errorf("%w: neither http nor https", ErrLink)
}

var linkEscapes = strings.NewReplacer("%", "%25", "&", "%26", "#", "%23", " ", "%20")

// Text is the link in the form that opens an app, with the code in it: as secret as the code. The
// URL stands there without further encoding, as apps expect it.
func (l Link) Text(appScheme string) string { return l.text(appScheme + "://ctkip") }

// Loopback is the link behind an address that leads to the device itself, for mail programs that drop schemes they do not
// know: an app that listens there, or for that address, takes it.
func (l Link) Loopback() string { return l.text("http://127.0.0.1" + loopbackPath) }

func (l Link) text(start string) string {
	scheme, address, _ := strings.Cut(l.URL, "://")
	text := start + "?scheme=" + scheme + "&url=" + linkEscapes.Replace(address)
	if l.Code != "" {
		text += "&activationCode=" + linkEscapes.Replace(string(l.Code))
	}
	return text
}
