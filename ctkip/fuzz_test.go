package ctkip

import (
	"errors"

	"testing"
)

// refused fails on any error that is not one of the package's kinds.
func refused(t *testing.T, err error) {
	t.Helper()
	for _, kind := range []error{ErrFormat, ErrProtocol, ErrKey, ErrMAC, ErrDecrypt, ErrCode, ErrLink, ErrInsecure} {
		if errors.Is(err, kind) {
			return
		}
	}
	var fault *Fault
	var status *StatusError
	if !errors.As(err, &fault) && !errors.As(err, &status) {
		t.Errorf("an error of no kind: %v", err)
	}
}

// seeds adds the bodies of all vectors.
func seeds(f *testing.F, add func(v *vector, step int)) {
	for _, file := range append(exchanges, "rsa-03-bad-activation-code.json") {
		v := readVector(f, file)
		for step := range v.Steps {
			add(v, step)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	seeds(f, func(v *vector, step int) { f.Add([]byte(v.Steps[step].Body), v.header(step, "Authorization")) })
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		m, err := ParseRequest(body, header)
		if err != nil {
			refused(t, err)
			return
		}
		if m.Step == 0 || !m.Code.valid() || len(m.SessionID) > MaxSession {
			t.Errorf("%+v", m)
		}
		m.Echoes(Nonce{})
		// Whatever came in, what goes out is well formed and repeats the code.
		c := Client{Code: m.Code}
		if _, err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Answer(m.Failure(Abort)); m.Step == StepHello && !same(err, &StatusError{Abort}) && len(m.provisioningData) < MaxBody/2 {
			t.Errorf("the failure reads as %v", err)
		}
	})
}

// The messages are fuzzed without their base64, which a fuzzer does not get through.
func FuzzMessage(f *testing.F) {
	seeds(f, func(v *vector, step int) {
		if root, err := open([]byte(v.Steps[step].Body)); err == nil {
			for _, name := range []string{"Request", "Response"} {
				if message, ok := root.child(nsService, name).base64(); ok {
					f.Add(message)
				}
			}
		}
	})
	v := readVector(f, exchanges[0])
	f.Fuzz(func(t *testing.T, message []byte) {
		if m, err := ParseRequest(seal(requestEnvelope, v.ActivationCode, "", string(message)), ""); err != nil {
			refused(t, err)
		} else {
			m.Failure(m.Refusal)
		}
		c := v.client()
		if _, err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Answer(seal(answerEnvelope, c.Code, "", string(message))); err != nil {
			refused(t, err)
		}
		c = v.client()
		if _, err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Answer([]byte(v.Steps[1].Body)); err != nil {
			t.Fatal(err)
		}
		token, err := c.Finish(seal(answerEnvelope, c.Code, "", string(message)))
		if err != nil {
			refused(t, err)
		} else if !isSerial(token.Serial) || len(token.Seed) != 16 {
			t.Errorf("token %v", token)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	seeds(f, func(v *vector, step int) { f.Add([]byte(v.Steps[step].Body)) })
	v := readVector(f, exchanges[0])
	f.Fuzz(func(t *testing.T, body []byte) {
		c := v.client()
		if _, err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Answer(body); err != nil {
			refused(t, err)
		}
		c = v.client()
		if _, err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Answer([]byte(v.Steps[1].Body)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Finish(body); err != nil {
			refused(t, err)
		}
	})
}

func FuzzStandard(f *testing.F) {
	s := standardServer{private: readVector(f, exchanges[0]).private, info: []byte("i")}
	old := Key{1}
	s.auth = &old
	trigger := Trigger{TokenID: []byte("000123456789"), KeyID: []byte("k"), Nonce: new(Nonce), URL: service}
	f.Add(trigger.Body())
	c := StandardClient{Trigger: trigger, Auth: &old, Info: []byte("c")}
	_, err := s.run(f, &c, func(body string) string { f.Add([]byte(body)); return body })
	if err != nil {
		f.Fatal(err)
	}
	request, _ := (&StandardClient{Trigger: trigger}).Start()
	f.Add(request.Body)
	f.Fuzz(func(t *testing.T, body []byte) {
		if m, err := ParseStandard(body); err != nil {
			refused(t, err)
		} else {
			m.Agree(false)
			m.Failure(Abort)
		}
		if _, err := ParseTrigger(body); err != nil {
			refused(t, err)
		}
		for _, c := range []*StandardClient{{}, {Trigger: trigger, Auth: &old}, {Shared: &old, SharedName: "ours"}} {
			if _, err := c.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Answer(body); err != nil {
				refused(t, err)
			}
			c.next = StepNonce
			if c.session.PublicKey == nil {
				c.session.Encryption = SharedAES
			}
			if _, err := c.Finish(body); err != nil {
				refused(t, err)
			}
		}
	})
}

func FuzzParseLink(f *testing.F) {
	f.Add(service)
	f.Add(Link{URL: service, Code: "123456789012"}.Text(AppScheme))
	f.Add("http://127.0.0.1/securid/ctkip?schema=https&url=a%20b&activationCode=1")
	f.Fuzz(func(t *testing.T, link string) {
		l, err := ParseLink(link)
		if err != nil {
			refused(t, err)
			return
		}
		if again, err := ParseLink(l.Text(AppScheme)); len(link) < maxLink/4 && (err != nil || again.Code != l.Code) {
			t.Errorf("%q reads as %q, %v", link, l.Text(AppScheme), err)
		}
	})
}
