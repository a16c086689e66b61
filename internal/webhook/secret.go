package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
)

// secretPrefix starts a secret in base64, as Standard Webhooks write it.
const secretPrefix = "whsec_"

// Secrets have this many bytes. 24 is the least of Standard Webhooks.
const (
	minSecret   = 24
	maxSecret   = 128
	freshSecret = 32
)

// newSecret makes one, in the form that libraries take.
func newSecret() string {
	raw := make([]byte, freshSecret)
	_, _ = rand.Read(raw) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(raw)
}

// key is what a secret signs with: what whsec_ stands before, or else the text itself.
func key(secret string) ([]byte, error) {
	k := []byte(secret)
	if encoded, is := strings.CutPrefix(secret, secretPrefix); is {
		var err error
		if k, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, fault.New(fault.Invalid, "what stands after whsec_ in the secret of a webhook is base64")
		}
	}
	if len(k) < minSecret || len(k) > maxSecret {
		return nil, fault.New(fault.Invalid, "the secret of a webhook takes %d to %d bytes, or the same in base64 after whsec_; without one, the server makes it", minSecret, maxSecret)
	}
	return k, nil
}

// signature is the header that proves who sent a body, and when.
func signature(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
