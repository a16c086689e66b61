package agentapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/fault"
)

// Signed requests (section 2.2). How agents carry and write the parts is not proven, so each known form is taken.

// maxSkew is how far the date of a signed request may be from the server's.
const maxSkew = 300 * time.Second

// SignatureLife is how long a signature is remembered, so that it is taken once: as long as its date may be taken, and longer than the clocks of servers are
// apart, of which one may note it, another one forget it, and a third one see it again.
const SignatureLife = 2*maxSkew + time.Minute

// isSigned tells whether a request may carry a signature.
func isSigned(r *http.Request) bool {
	return r.Header.Get("X-Access-ID") != "" || r.Header.Get("Authorization") != ""
}

// parts are the access ID and the signature of a request: "Authorization: SCHEME ID:SIGNATURE", or X-Access-ID with the
// signature in Authorization or client-key. The scheme may be missing.
func parts(r *http.Request) (id, signature string) {
	id, signature = r.Header.Get("X-Access-ID"), r.Header.Get("client-key")
	given := r.Header.Get("Authorization")
	if _, after, scheme := strings.Cut(given, " "); scheme {
		given = strings.TrimSpace(after)
	}
	before, after, both := strings.Cut(given, ":")
	switch {
	case both:
		return before, after
	case id == "":
		return given, signature
	case len(given) == base64.StdEncoding.EncodedLen(sha256.Size):
		return id, given
	}
	return id, signature
}

// dateOf is the date of a request as it was signed, and what it says.
func dateOf(r *http.Request) (text string, at time.Time, ok bool) {
	for _, name := range []string{"X-Authorization-Date", "X-Date", "Date"} {
		if text = r.Header.Get(name); text != "" {
			break
		}
	}
	for _, layout := range []string{http.TimeFormat, time.RFC1123Z, time.RFC3339, time.RFC1123} {
		if at, err := time.Parse(layout, text); err == nil {
			return text, at, true
		}
	}
	return text, at, false
}

// signer is who has signed a request, and the signature. A wrong one of a known access ID costs no look into the database.
func (s *Server) signer(r *http.Request, body []byte, from netip.Addr) (identity, []byte, error) {
	ctx := r.Context()
	id, text := parts(r)
	who, err := s.identify(ctx, s.ids, sha256.Sum256([]byte(id)), from, func() (access.Agent, access.Credential, error) { return s.Agents.ByID(ctx, id) })
	if err != nil {
		return identity{}, nil, err
	}
	key, err := s.Agents.SigningKey(ctx, who.agent, who.credential)
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return identity{}, nil, err
	}
	defer clear(key)
	signature, malformed := base64.StdEncoding.Strict().DecodeString(text)
	date, at, dated := dateOf(r)
	why := ""
	switch {
	case err != nil:
		why = err.Error()
	case !dated:
		why = "the date of its request is not understood"
	case malformed != nil || !signedBy(key, signature, r, date, id, body):
		why = "its signature is not one that its access key makes of this request"
	case at.Sub(s.Now()).Abs() > maxSkew: // a wrong clock, or a request that is sent again: neither guesses keys
		return identity{}, nil, s.turnAway(ctx, who.agent, who.credential, from, "the date of its request is more than "+maxSkew.String()+" off: set its clock")
	}
	switch {
	case why == "":
		return who, signature, nil
	case !s.guessed(ctx, from): // nor said again and again
		return identity{}, nil, errStranger
	}
	return identity{}, nil, s.turnAway(ctx, who.agent, who.credential, from, why)
}

// useOnce refuses a signature that was seen before. It is in the database, since a copy may come to another server.
func (s *Server) useOnce(ctx context.Context, who identity, signature []byte, from netip.Addr) error {
	fresh, err := s.Store.UseSignature(ctx, signature, s.Now())
	if err == nil && !fresh {
		err = s.turnAway(ctx, who.agent, who.credential, from, "the signature was seen before")
	}
	return err
}

// signedBy tells whether a signature is the one of a request, in any of the forms of the hash of its body and with or
// without a line feed at the end.
func signedBy(key, signature []byte, r *http.Request, date, id string, body []byte) bool {
	sum := sha512.Sum512(body)
	lower := hex.EncodeToString(sum[:])
	right := false
	for _, hash := range []string{lower, strings.ToUpper(lower), base64.StdEncoding.EncodeToString(sum[:])} {
		for _, path := range []string{r.URL.EscapedPath(), r.URL.RequestURI()} {
			for _, end := range []string{"", "\n"} {
				mac := hmac.New(sha256.New, key)
				mac.Write([]byte(strings.Join([]string{r.Method, hash, path, date, id}, "\n") + end))
				right = hmac.Equal(mac.Sum(nil), signature) || right
			}
		}
	}
	return right
}
