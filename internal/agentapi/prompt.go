package agentapi

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
)

// The methods that we ask for (section 4).
const (
	methodPasscode  = "SECURID"
	methodToken     = "TOKEN"
	methodEmergency = "EMERGENCY_TOKENCODE"
	methodNext      = "SECURID_NEXT_TOKENCODE"
	methodNewPIN    = "SECURID_NEWPIN"
	methodSystemPIN = "SECURID_SYSTEM_GENERATED_PIN"
)

// steps are what an answer by a method answers, unless the message says which of two it is. Passcodes have several methods.
var steps = map[string]authentication.Step{
	methodPasscode:  authentication.StepPasscode,
	methodToken:     authentication.StepPasscode,
	methodEmergency: authentication.StepPasscode,
	methodNext:      authentication.StepNextTokencode,
	methodNewPIN:    authentication.StepNewPIN,
	methodSystemPIN: authentication.StepSystemPIN,
}

// stepOther is what any other method answers. No attempt waits for it: the engine only says whether there is one.
const stepOther authentication.Step = "other"

// foreign are methods of the public contract that this server does not have.
var foreign = map[string]bool{
	"PASSWORD": true, "SMS": true, "VOICE": true,
	"APPROVE": true, "FINGERPRINT": true, "QRCODE": true, "FIDO": true,
}

// The texts of prompts, by ID (section 7). {0} and {1} stand for arguments. Programs around agents look for the words
// "next tokencode" and "wait for the tokencode to change".
const (
	promptPasscode    = "PROMPT.SID.PASSCODE"
	promptEmergency   = "PROMPT.SID.EMERGENCY_TOKENCODE"
	promptNext        = "PROMPT.SID.NEXT_TOKENCODE"
	promptMailed      = "PROMPT.SID.MAILED_CODE"
	promptNewPIN      = "PROMPT.SID.NEWPIN"
	promptNewPINAlnum = "PROMPT.SID.NEWPIN_ALNUM"
	promptRejected    = "PROMPT.SID.NEWPIN_REJECTED"
	promptSystemPIN   = "PROMPT.SID.SYSTEM_PIN"
	promptReauth      = "PROMPT.SID.REAUTH"
	promptMailedPIN   = "PROMPT.SID.MAILED_REAUTH"
)

var texts = []access.NameValue{
	text(promptPasscode, "Enter your passcode"),
	text(promptEmergency, "Enter your passcode with an emergency code in place of the tokencode"),
	text(promptNext, "Enter the next tokencode, the one that your token shows after the one you gave, without a PIN"),
	text(promptMailed, "Enter the code that was sent to you by mail in place of the next tokencode, without a PIN"),
	text(promptNewPIN, "Choose a new PIN of {0} to {1} digits"),
	text(promptNewPINAlnum, "Choose a new PIN of {0} to {1} letters and digits"),
	text(promptRejected, "This PIN is not taken: {0}. Choose another one"),
	text(promptSystemPIN, "Your new PIN is {0}. Remember it, and answer to go on; n refuses it"),
	text(promptReauth, "Your new PIN is set. Please wait for the tokencode to change, then enter a passcode with the new PIN"),
	text(promptMailedPIN, "Your new PIN is set. Enter it alone, and another code is sent to you by mail"),
	text("PROMPT.LDAP.PASSWORD", "Enter your password"),
}

func text(id, words string) access.NameValue {
	return access.NameValue{Name: id, Value: words, DataType: "STRING"}
}

// resources returns the texts of prompts: all, or the one that is asked for. There is one language.
func (s *Server) resources(c *call) (reply, error) {
	found := texts
	if id := c.URL.Query().Get("resourceId"); id != "" {
		found = []access.NameValue{}
		for _, t := range texts {
			if t.Name == id {
				found = append(found, t)
			}
		}
	}
	return reply{200, found, "resources"}, nil
}

// asking makes a prompt with its arguments put in.
func asking(id string, args ...string) prompt {
	p := prompt{ResourceID: id, Args: append([]string{}, args...), Sensitive: true}
	for _, t := range texts {
		if t.Name == id {
			p.Text = t.Value
		}
	}
	for i, arg := range args {
		p.Text = strings.ReplaceAll(p.Text, fmt.Sprintf("{%d}", i), arg)
	}
	return p
}

// between says how long an answer is and what it looks like.
func (p prompt) between(characters string, least, most int) prompt {
	format := fmt.Sprintf("%s{%d,%d}", characters, least, most)
	p.Format, p.MinLength, p.MaxLength = &format, &least, &most
	return p
}

// challenge is what a decision asks for: of the sets one, and each has one method. asked, unless it is "", is the only one that passcodes
// are asked for by.
func challenge(a access.Agent, d authentication.Decision, asked string) []methodSet {
	if d.Step != authentication.StepPasscode && d.Step != authentication.StepReauthenticate {
		return []methodSet{{"set1", []method{asks(a, d, "")}}}
	}
	var sets []methodSet
	for _, id := range a.Methods {
		if asked == "" || id == asked {
			sets = append(sets, methodSet{"set" + strconv.Itoa(len(sets)+1), []method{asks(a, d, id)}})
		}
	}
	return sets
}

// asks is the method that a decision asks for an answer by; passcode is that of a passcode.
func asks(a access.Agent, d authentication.Decision, passcode string) method {
	id, attributes, required := passcode, []access.NameValue{}, true
	var p prompt
	switch d.Step {
	case authentication.StepNextTokencode:
		if id, p = methodNext, asking(promptNext); d.Mailed {
			p = asking(promptMailed)
		}
		p = p.between("[0-9]", 6, 8)
	case authentication.StepNewPIN:
		id, p, attributes = methodNewPIN, newPIN(d), rules(d.PIN)
	case authentication.StepSystemPIN:
		id, p, required = methodSystemPIN, asking(promptSystemPIN, d.SystemPIN), false
		p.Sensitive = false // the answer; the text is the secret
	case authentication.StepReauthenticate:
		if p = asking(promptReauth); d.Mailed {
			p = asking(promptMailedPIN)
		}
	default:
		if p = asking(promptPasscode); id == methodEmergency {
			p = asking(promptEmergency)
		}
	}
	m := method{ID: id, Versions: []version{{ID: "1.0.0", Attributes: attributes, ValueRequired: required, Prompt: p}}}
	if id == methodPasscode && a.DisplayName != "" {
		m.DisplayName = &a.DisplayName
	}
	return m
}

// newPIN asks for a new PIN. The agent has it typed twice by itself.
func newPIN(d authentication.Decision) prompt {
	id, characters := promptNewPIN, "[0-9]"
	if d.PIN.Alphanumeric {
		id, characters = promptNewPINAlnum, "[0-9A-Za-z]"
	}
	p := asking(id, strconv.Itoa(d.PIN.Min), strconv.Itoa(d.PIN.Max))
	if d.Rejected != "" {
		p = asking(promptRejected, d.Rejected)
	}
	p.BeingDefined = true
	return p.between(characters, d.PIN.Min, d.PIN.Max)
}

// rules are those of a new PIN, as methodAttributes.
func rules(r authentication.PINRules) []access.NameValue {
	number := func(name string, n int) access.NameValue {
		return access.NameValue{Name: name, Value: strconv.Itoa(n), DataType: "INT32"}
	}
	return []access.NameValue{
		number("PIN_MIN_LENGTH", r.Min), number("PIN_MAX_LENGTH", r.Max),
		{Name: "PIN_ALPHANUMERIC", Value: strconv.FormatBool(r.Alphanumeric), DataType: "BOOLEAN"},
		{Name: "PIN_USER_SELECTABLE", Value: strings.ToUpper(r.Creation), DataType: "STRING"},
	}
}
