package radius

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/pin"
	"github.com/tallystick/tallystick/internal/policy"
)

// What clients look for in the texts of the set securid, and what a Cisco ASA maps to its dialogue, both as published
// (spec/radius.md section 4).
var published = map[access.PromptSet]map[authentication.Step][]string{
	access.PromptsSecurID: {
		authentication.StepNextTokencode:  {"next tokencode", "Wait for token to change"},
		authentication.StepNewPIN:         {"Enter a new PIN having from 4 to 8"},
		authentication.StepRepeatPIN:      {"Please re-enter new PIN"},
		authentication.StepReauthenticate: {"PIN Accepted"},
		authentication.StepSystemAsk:      {"system-generated"},
	},
	access.PromptsCiscoASA: {
		authentication.StepNextTokencode:  {"Enter Next PASSCODE"},
		authentication.StepSystemPIN:      {"Please remember your new PIN"},
		authentication.StepChoose:         {"Do you want to enter your own pin"},
		authentication.StepNewPIN:         {"Enter your new Alpha-Numerical PIN"},
		authentication.StepRepeatPIN:      {"Reenter PIN:"},
		authentication.StepReauthenticate: {"new PIN with the next card code"},
		authentication.StepSystemAsk:      {"ACCEPT A SYSTEM GENERATED PIN"},
	},
}

var steps = []authentication.Step{
	authentication.StepNextTokencode, authentication.StepChoose, authentication.StepNewPIN, authentication.StepRepeatPIN,
	authentication.StepSystemAsk, authentication.StepSystemPIN, authentication.StepReauthenticate,
}

func TestPromptsHoldWhatClientsLookFor(t *testing.T) {
	for set, texts := range Default() {
		if err := texts.check(set); err != nil {
			t.Error(err)
		}
		for _, step := range steps {
			for _, rules := range []authentication.PINRules{{Min: 4, Max: 8}, {Min: 4, Max: 8, Alphanumeric: true}} {
				for _, rejected := range []string{"", "it is too simple", authentication.PINMismatch} {
					d := authentication.Decision{Step: step, PIN: rules, SystemPIN: "2846", Rejected: rejected}
					text, echo, err := texts.prompt(d)
					if err != nil || text == "" || strings.ContainsAny(text, "{}") {
						t.Errorf("%s %s: %q, %v", set, step, text, err)
					}
					if echo != (step == authentication.StepSystemPIN) {
						t.Errorf("%s %s: echo is %v", set, step, echo)
					}
					for _, part := range published[set][step] {
						if !strings.Contains(text, part) {
							t.Errorf("%s %s: %q does not hold %q", set, step, text, part)
						}
					}
					// A client takes the first that fits: nothing of another step may be in it.
					for other, parts := range published[set] {
						for _, part := range parts {
							if other != step && strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
								t.Errorf("%s %s: %q holds %q, which is for %s", set, step, text, part, other)
							}
						}
					}
					if step == authentication.StepNewPIN && rejected != "" && rejected != authentication.PINMismatch && !strings.Contains(text, rejected) {
						t.Errorf("%s: %q does not say why", set, text)
					}
				}
			}
		}
	}
	fixed := Default()[access.PromptsSecurID]
	if text, _, _ := fixed.prompt(authentication.Decision{Step: authentication.StepNewPIN, PIN: authentication.PINRules{Min: 6, Max: 6}}); text != "Enter a new PIN of 6 digits: " {
		t.Errorf("%q", text)
	}
	if _, _, err := fixed.prompt(authentication.Decision{Step: "dance"}); err == nil {
		t.Error("there is a prompt for an unknown step")
	}
}

// openconnect fills a token's next code into a form whose message holds "next tokencode" in any case, and into no other.
func TestOpenconnectKnowsTheNextTokencode(t *testing.T) {
	texts := Default()[access.PromptsSecurID]
	for _, step := range steps {
		text, _, err := texts.prompt(authentication.Decision{Step: step})
		if err != nil {
			t.Fatal(err)
		}
		if fills := strings.Contains(strings.ToLower(text), "next tokencode"); fills != (step == authentication.StepNextTokencode) {
			t.Errorf("%s: %q", step, text)
		}
	}
}

func TestLoadingPrompts(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "prompts.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	prompts, err := Load(write("[plain]\nnext = \"Warten Sie auf den nächsten Code: \"\nreject = \"\"\n[securid]\nreject = \"Nein.\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := prompts[access.PromptsPlain]; got.Next != "Warten Sie auf den nächsten Code: " || got.Reject != "" || got.Wait != plain.Wait {
		t.Errorf("%+v", got)
	}
	if prompts[access.PromptsSecurID].Reject != "Nein." || prompts[access.PromptsCiscoASA] != ciscoASA {
		t.Error("other sets are not as they were")
	}
	for name, text := range map[string]string{
		"what clients look for": "[securid]\nnext = \"Warten\"\n", "empty": "[plain]\nwait = \"\"\n", "another set": "[german]\nnext = \"x\"\n",
		"another prompt": "[plain]\nhello = \"x\"\n", "no text": "[plain]\nnext = 7\n", "no TOML": "[plain", "no PIN": "[plain]\nsystem_show = \"x\"\n",
		"too long": "[plain]\nreject = \"" + strings.Repeat("x", maxPrompt+1) + "\"\n", "a zero": "[plain]\nnext = \"a\\u0000b\"\n",
		"half of what clients look for": "[securid]\nnext = \"Enter the next tokencode: \"\n",
		"the other half":                "[securid]\nnext = \"Wait for token to change: \"\n",
		"no keyboard for letters":       "[securid]\nnew_pin_alphanumeric = \"Enter a new PIN: \"\n",
		"letters without a new PIN":     "[securid]\nnew_pin_alphanumeric = \"alphanumeric: \"\n",
		"too long once it is filled in": "[plain]\npin_bad = \"" + strings.Repeat("{reason}", 90) + "\"\n",
		"too long with the PIN in it":   "[plain]\nsystem_show = \"" + strings.Repeat("{pin}", 90) + "\"\n",
	} {
		if _, err := Load(write(text)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongTextsAreSplitBetweenCharacters(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("x", 253), strings.Repeat("x", 254), strings.Repeat("x", 600), "x" + strings.Repeat("ä", 300), strings.Repeat("日本", 100), strings.Repeat("😀", 150)} {
		var whole []byte
		for _, a := range split(nil, rfc2865.ReplyMessage_Type, text) {
			if len(a.Attribute) == 0 || len(a.Attribute) > 253 || !isText(string(a.Attribute)) {
				t.Errorf("a part of %d bytes", len(a.Attribute))
			}
			whole = append(whole, a.Attribute...)
		}
		if string(whole) != text {
			t.Errorf("%q became %q", text, whole)
		}
	}
}

func TestALongReplyMessage(t *testing.T) {
	h := build(t, always(deny), vpn("vpn1", "127.0.0.1/32"))
	texts := h.Prompts[access.PromptsSecurID]
	texts.Reject = strings.Repeat("0123456789", 60)
	h.Prompts[access.PromptsSecurID] = texts
	gw := h.run().gateway("127.0.0.1")
	want := answerTo(3, 1, attr(18, texts.Reject[:253]), attr(18, texts.Reject[253:506]), attr(18, texts.Reject[506:]))
	if got := gw.ask(login(1, "alice", "123456")); !bytes.Equal(got, want) {
		t.Errorf("%q", got)
	}
	texts.Reject = ""
	h = build(t, always(deny), vpn("vpn1", "127.0.0.1/32"))
	h.Prompts[access.PromptsSecurID] = texts
	gw = h.run().gateway("127.0.0.1")
	if got := gw.ask(login(1, "alice", "123456")); !bytes.Equal(got, answerTo(3, 1)) {
		t.Errorf("%q", got)
	}
}

// Proxy-States that leave no room for an accept with its attributes get a reject, and those that leave none for its
// text a bare one.
func TestAnswersThatDoNotFit(t *testing.T) {
	c := vpn("vpn1", "127.0.0.1/32")
	for range 4 {
		c.Attributes = append(c.Attributes, access.ReplyAttribute{Name: "Class", Value: strings.Repeat("c", 253)})
	}
	h := build(t, always(accept), c).run()
	gw := h.gateway("127.0.0.1")
	proxy := attr(33, strings.Repeat("p", 253))
	rest := func(n int) [][]byte {
		all := make([][]byte, n)
		for i := range all {
			all[i] = proxy
		}
		return all
	}
	if got := gw.ask(login(1, "alice", "123456", rest(10)...)); got[0] != 2 {
		t.Errorf("code %d", got[0])
	}
	h.becomes(Accepted)
	if got := gw.ask(login(2, "alice", "123456", rest(15)...)); got[0] != 3 {
		t.Errorf("code %d", got[0])
	}
	h.becomes(NoWayToAnswer)
	if said := h.said.String(); !strings.Contains(said, "does not fit") || !strings.Contains(said, "client=vpn1") {
		t.Errorf("alice, whom the engine accepted, was rejected, and the log says %q", said)
	}
	// The longest request there can be, without Message-Authenticator: its Proxy-States leave no room for the text.
	off := vpn("vpn2", "127.0.0.2/32")
	off.MessageAuthenticator = access.Off
	h.clients.set(c, off)
	if err := h.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := append(rest(15), attr(33, strings.Repeat("p", 224)))
	full := packet(1, 3, authenticatorOf(3), append([][]byte{attr(1, "alice"), attr(2, hidden(3, ""))}, all...)...)
	if n := radius.MaxPacketLength - len(full); n != 0 {
		t.Fatalf("%d octets are left", n)
	}
	if got := h.gateway("127.0.0.2").ask(full); !bytes.Equal(got, answerTo(2, 3, all...)) {
		t.Errorf("code %d, %d octets", got[0], len(got))
	}
	h.becomes(Accepted)
	h.Engine.(*script).decides(deny)
	full = changed(full, 1, 4)
	if got := h.gateway("127.0.0.2").ask(full); got[0] != 3 || !bytes.Contains(got, all[0]) {
		t.Errorf("code %d, %d octets", got[0], len(got))
	}
	h.becomes(Rejected)
	h.Engine.(*script).decides(authentication.Decision{Result: authentication.NextTokencode, Step: authentication.StepNextTokencode, Attempt: attempt(0), Turn: 1})
	if got := gw.ask(login(5, "alice", "123456", append(rest(15), attr(33, strings.Repeat("p", 190)))...)); got[0] != 3 {
		t.Errorf("a challenge that does not fit: code %d", got[0])
	}
	h.becomes(NoWayToAnswer)
}

// No reason that a user is told is longer than what the check of prompts leaves room for: this is the longest.
func TestReasonsFitIntoPrompts(t *testing.T) {
	rules := pin.Rules{Policy: policy.Default().Token, Token: pin.Token{Serial: "000123456789", Type: device.Fob, Digits: 8}}
	if _, err := rules.New("1111"); !errors.Is(err, fault.PINInvalid) || len(err.Error()) < 100 || len(err.Error()) > maxReason {
		t.Errorf("%v", err)
	}
}
