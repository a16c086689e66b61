package ctkip

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const service = "https://auth.example.com:7004/ctkip/services/CtkipService"

func TestParseLink(t *testing.T) {
	for _, test := range []struct {
		link, url string
		code      Code
		err       error
	}{
		{service, service, "", nil},
		{"  " + service + "\n", service, "", nil},
		{"com.rsa.securid://ctkip?scheme=https&url=auth.example.com:7004/ctkip/services/CtkipService&activationCode=123456789012", service, "123456789012", nil},
		{"COM.RSA.SecurID://CTKIP/?SCHEME=HTTPS&URL=auth.example.com:7004/ctkip/services/CtkipService&ActivationCode=aB-1", service, "aB-1", nil},
		{"com.rsa.securid://ctkip?url=https://auth.example.com:443/ctkip/services/CtkipService", "https://auth.example.com:443/ctkip/services/CtkipService", "", nil},
		{"com.rsa.securid://ctkip?scheme=https&url=https://auth.example.com/x", "https://auth.example.com/x", "", nil},
		{"com.rsa.securid://ctkip?url=auth.example.com/x&activationCode=", "https://auth.example.com/x", "", nil},
		{"com.rsa.securid://ctkip?url=https%3A%2F%2Fauth.example.com%2Fx%3Fa%3D1%26b%3D2&activationCode=1+2", "https://auth.example.com/x?a=1&b=2", "1+2", nil},
		{"com.rsa.securid://ctkip?url=https://auth.example.com/x?a=1&activationCode=1", "https://auth.example.com/x?a=1", "1", nil},
		{"securidauthenticator://ctkip?scheme=https&url=auth.example.com:7004/ctkip/services/CtkipService&activationCode=1", service, "1", nil},
		{"http://127.0.0.1/securid/ctkip?scheme=https&url=auth.example.com:7004/ctkip/services/CtkipService&activationCode=1", service, "1", nil},
		{"http://127.0.0.1/securid/ctkip?schema=https&url=auth.example.com:7004/ctkip/services/CtkipService", service, "", nil},
		{"com.rsa.securid://ctkip?scheme=https&url=auth.example.com/x?to=http://b/", "https://auth.example.com/x?to=http://b/", "", nil},
		{"com.rsa.securid://ctkip?url=auth.example.com/http://b/&activationCode=1", "https://auth.example.com/http://b/", "1", nil},
		{"http://localhost:8080/x", "http://localhost:8080/x", "", ErrInsecure},
		{"com.rsa.securid://ctkip?scheme=http&url=localhost/x&activationCode=1", "http://localhost/x", "1", ErrInsecure},

		{"", "", "", ErrLink},
		{"123456789012", "", "", ErrLink},
		{"ftp://auth.example.com/x", "", "", ErrLink},
		{"com.rsa.securid://ctkip?url=ftp://auth.example.com/x", "", "", ErrLink},
		{"https://", "", "", ErrLink},
		{"https://:7004/x", "", "", ErrLink},
		{"https://a://x", "", "", ErrLink},
		{"https://user:secret@auth.example.com/x", "", "", ErrLink},
		{"https://auth.example.com/x#y", "", "", ErrLink},
		{"https://m%E2%80%AEoc.elpmaxe/x", "", "", ErrLink},
		{"https://auth%C2%9B31m.example.com/x", "", "", ErrLink},
		{"https://bücher.example.com/x", "https://bücher.example.com/x", "", nil},
		{"https://auth.example.com/%zz", "", "", ErrLink},
		{"com.rsa.securid://ctf?ctfData=1", "", "", ErrLink},
		{"com.rsa.securid://ctkip", "", "", ErrLink},
		{"com.rsa.securid://ctkip?scheme=file&url=/etc/passwd", "", "", ErrLink},
		{"com.rsa.securid://ctkip?scheme=https&url=http://auth.example.com/x", "", "", ErrLink},
		{"com.rsa.securid://ctkip?url=https://a/x&url=https://b/x", "", "", ErrLink},
		{"com.rsa.securid://ctkip?url=https://a/%zz", "", "", ErrLink},
		{"com.rsa.securid://ctkip?url=https://a/x&activationCode=1%0d%0aX:y", "", "", ErrLink},
		{service + strings.Repeat("x", maxLink), "", "", ErrLink},
	} {
		l, err := ParseLink(test.link)
		if !errors.Is(err, test.err) || l.URL != test.url || l.Code != test.code {
			t.Errorf("%s: %s %q %v, want %s %q %v", test.link, l.URL, string(l.Code), err, test.url, string(test.code), test.err)
		}
	}
}

func TestLinkText(t *testing.T) {
	l := Link{URL: service, Code: "123456789012"}
	want := "com.rsa.securid://ctkip?scheme=https&url=auth.example.com:7004/ctkip/services/CtkipService&activationCode=123456789012"
	if got := l.Text(AppScheme); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := Link{
			URL:  "https://auth.example.com/" + rapid.StringMatching(`([!$&-/:-~]|%25)*`).Draw(t, "path"),
			Code: Code(rapid.StringMatching(`[!-~]{0,40}`).Draw(t, "code")),
		}
		for _, scheme := range []string{AppScheme, AuthenticatorScheme} {
			if got, err := ParseLink(want.Text(scheme)); err != nil || got != want {
				t.Fatalf("%s: %s %q, %v", want.Text(scheme), got.URL, string(got.Code), err)
			}
		}
	})
}
