package agentapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
)

// Signed requests (section 2.2). How agents carry and write the parts is not proven, so each known form is taken.

// maxSkew is how far the date of a signed request may be from the server's.
const maxSkew = 300 * time.Second

// SignatureLife is how long a signature is remembered, so that it is taken once.
const SignatureLife = 2 * maxSkew

// isSigned tells whether a request carries a signature and not a key.
func isSigned(r *http.Request) bool {
	return r.Header.Get("X-Access-ID") != "" || r.Header.Get("Authorization") != ""
}

// parts are the access ID and the signature of a request: "Authorization: SCHEME ID:SIGNATURE", or X-Access-ID with the
// signature in Authorization or client-key.
func parts(r *http.Request) (id, signature string) {
	id, signature = r.Header.Get("X-Access-ID"), r.Header.Get("client-key")
	_, given, found := strings.Cut(r.Header.Get("Authorization"), " ")
	if !found {
		return id, signature
	}
	given = strings.TrimSpace(given)
	if before, after, both := strings.Cut(given, ":"); both {
		return before, after
	}
	if id == "" {
		return given, signature
	}
	return id, given
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

// signer is who has signed a request.
func (s *Server) signer(r *http.Request, body []byte, from netip.Addr) (identity, error) {
	ctx, now := r.Context(), s.Now()
	if s.strangers.Exhausted(network(from), now) {
		return identity{}, errStranger
	}
	id, text := parts(r)
	a, c, key, err := s.Agents.BySigner(ctx, id)
	if err != nil && fault.CodeOf(err) != fault.NotFound {
		return identity{}, err
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
	case at.Sub(now).Abs() > maxSkew: // a wrong clock, or a request that is sent again: neither guesses keys
		return identity{}, s.turnAway(ctx, a, c, from, "the date of its request is more than "+maxSkew.String()+" off: set its clock")
	}
	if why != "" {
		s.strangers.Allows(network(from), now)
		return identity{}, s.turnAway(ctx, a, c, from, why)
	}
	// In the database, since a copy may come to another server.
	fresh, err := s.Store.UseSignature(ctx, signature, now)
	if err != nil {
		return identity{}, err
	}
	if !fresh {
		return identity{}, s.turnAway(ctx, a, c, from, "the signature was seen before")
	}
	only, err := authentication.Restrict(ctx, a.Restriction, s.Domains)
	return identity{a, c, only}, err
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
