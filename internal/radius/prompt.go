package radius

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/policy"
)

// Texts are one prompt set: what users read in a dialogue (spec/radius.md section 4). {min}, {max}, {reason} and
// {pin} are filled in.
type Texts struct {
	Next         string `toml:"next"`
	Mailed       string `toml:"mailed"`               // in place of Next, for a code on demand
	NewPIN       string `toml:"new_pin"`              // of digits
	NewPINFixed  string `toml:"new_pin_fixed"`        // of digits, where {min} is {max}
	NewPINAlnum  string `toml:"new_pin_alphanumeric"` // of letters and digits
	Reenter      string `toml:"reenter"`
	Wait         string `toml:"wait"`
	MailedWait   string `toml:"mailed_wait"`   // in place of Wait, where the PIN is the one for codes on demand
	PINBad       string `toml:"pin_bad"`       // before a NewPIN
	PINDifferent string `toml:"pin_different"` // before a NewPIN
	SystemAsk    string `toml:"system_ask"`
	SystemShow   string `toml:"system_show"`
	Choose       string `toml:"choose"`
	ChooseOwn    bool   `toml:"choose_own"` // to Choose, y stands for a PIN of the user's own, not for one that the system makes
	Reject       string `toml:"reject"`     // "" sends none
}

// Prompts are the texts of each prompt set.
type Prompts map[access.PromptSet]Texts

// securID are the texts that clients of RSA's server know.
var securID = Texts{
	Next:         "Wait for token to change,\r\nthen enter the next tokencode: ",
	Mailed:       "A code was sent to you by mail.\r\nEnter it as the next tokencode: ",
	NewPIN:       "Enter a new PIN having from {min} to {max} digits: ",
	NewPINFixed:  "Enter a new PIN of {min} digits: ",
	NewPINAlnum:  "Enter a new PIN having from {min} to {max} alphanumeric characters: ",
	Reenter:      "Please re-enter new PIN: ",
	Wait:         "PIN Accepted.\r\nWait for the token code to change,\r\nthen enter the new passcode: ",
	MailedWait:   "PIN Accepted.\r\nEnter the new PIN alone, and another code is sent to you by mail: ",
	PINBad:       "PIN Rejected. {reason}\r\n",
	PINDifferent: "PINs do not match. Please try again.\r\n",
	SystemAsk:    "Are you prepared to accept a system-generated PIN [y/n]? ",
	SystemShow:   "Your new PIN is: {pin}\r\nDo you accept this [y/n]? ",
	Choose:       "Do you want the system to generate your new PIN? (y/n) [n] ",
	Reject:       "Access denied.",
}

// ciscoASA are texts that hold what a Cisco ASA with "proxy-auth sdi" looks for unless it is told otherwise. It
// compares in the order of its table, so no text may hold what belongs to another key.
var ciscoASA = Texts{
	Next:         "Enter Next PASSCODE: ",
	Mailed:       "A code was sent to you by mail. Enter Next PASSCODE: ",
	NewPIN:       "Enter your new Alpha-Numerical PIN, from {min} to {max} digits: ",
	NewPINFixed:  "Enter your new Alpha-Numerical PIN, {min} digits: ",
	NewPINAlnum:  "Enter your new Alpha-Numerical PIN, from {min} to {max} letters or digits: ",
	Reenter:      "Reenter PIN: ",
	Wait:         "Wait for the code on your card to change, then enter new PIN with the next card code: ",
	MailedWait:   "Enter the new PIN alone, and another code is sent to you by mail (new PIN with the next card code): ",
	PINBad:       "PIN Rejected. {reason}\r\n",
	PINDifferent: "PINs do not match. Please try again.\r\n",
	SystemAsk:    "ACCEPT A SYSTEM GENERATED PIN [y/n]? ",
	SystemShow:   "Please remember your new PIN: {pin}\r\nThen press Enter. ",
	Choose:       "Do you want to enter your own pin? (y or n) [n] ",
	ChooseOwn:    true,
	Reject:       "Access denied.",
}

// plain is for clients that only show the text.
var plain = Texts{
	Next:         "Wait until the code on your token changes, then enter the new code: ",
	Mailed:       "A code was sent to you by mail. Enter it: ",
	NewPIN:       "Choose a new PIN of {min} to {max} digits: ",
	NewPINFixed:  "Choose a new PIN of {min} digits: ",
	NewPINAlnum:  "Choose a new PIN of {min} to {max} letters or digits: ",
	Reenter:      "Enter the new PIN again: ",
	Wait:         "Your new PIN is set. Wait until the code on your token changes, then enter the new passcode: ",
	MailedWait:   "Your new PIN is set. Enter it, and another code is sent to you by mail: ",
	PINBad:       "This PIN cannot be used: {reason}\r\n",
	PINDifferent: "The two PINs differ.\r\n",
	SystemAsk:    "A new PIN will be made for you and shown. Go on? (y/n) ",
	SystemShow:   "Your new PIN is {pin}. Remember it, then press Enter. ",
	Choose:       "Shall a new PIN be made for you? (y/n) ",
	Reject:       "Access denied.",
}

// Default are the texts as they come.
func Default() Prompts {
	return Prompts{access.PromptsSecurID: securID, access.PromptsCiscoASA: ciscoASA, access.PromptsPlain: plain}
}

// required is what clients look for in the texts of a set, in any case (spec/radius.md section 4). The set plain is
// for those that look for nothing.
var required = map[access.PromptSet]map[string][]string{
	access.PromptsSecurID: {
		"next": {"Wait for token to change", "next tokencode"}, "new_pin": {"Enter a new PIN"}, "new_pin_fixed": {"Enter a new PIN"},
		"new_pin_alphanumeric": {"Enter a new PIN", "alphanumeric"}, "reenter": {"Please re-enter new PIN"}, "wait": {"PIN Accepted"},
		"mailed": {"next tokencode"}, "mailed_wait": {"PIN Accepted"},
		"system_ask": {"system-generated"},
	},
	access.PromptsCiscoASA: {
		"next": {"Enter Next PASSCODE"}, "system_show": {"Please remember your new PIN"}, "choose": {"Do you want to enter your own pin"},
		"new_pin": {"Enter your new Alpha-Numerical PIN"}, "new_pin_fixed": {"Enter your new Alpha-Numerical PIN"},
		"new_pin_alphanumeric": {"Enter your new Alpha-Numerical PIN"}, "reenter": {"Reenter PIN:"}, "wait": {"new PIN with the next card code"},
		"mailed": {"Enter Next PASSCODE"}, "mailed_wait": {"new PIN with the next card code"},
		"system_ask": {"ACCEPT A SYSTEM GENERATED PIN"},
	},
}

// longest puts the longest values into a text.
var longest = strings.NewReplacer("{min}", "16", "{max}", "16", "{pin}", strings.Repeat("0", policy.MaxPINLength), "{reason}", strings.Repeat("x", maxReason))

// byKey are the texts by the names that a file gives them.
func (t *Texts) byKey() map[string]string {
	return map[string]string{
		"next": t.Next, "new_pin": t.NewPIN, "new_pin_fixed": t.NewPINFixed, "new_pin_alphanumeric": t.NewPINAlnum, "reenter": t.Reenter,
		"wait": t.Wait, "pin_bad": t.PINBad, "pin_different": t.PINDifferent, "system_ask": t.SystemAsk, "system_show": t.SystemShow,
		"choose": t.Choose, "mailed": t.Mailed, "mailed_wait": t.MailedWait,
	}
}

// check refuses texts that clients would not understand, or that do not say what they must.
func (t *Texts) check(set access.PromptSet) error {
	texts := t.byKey()
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		text := texts[key]
		for _, part := range required[set][key] {
			if text != "" && !strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
				return fault.New(fault.Invalid, "prompt %s.%s must hold %q, which clients look for: put other words into the set plain", set, key, part)
			}
		}
		switch {
		case text == "":
			return fault.New(fault.Invalid, "prompt %s.%s is empty", set, key)
		case len(longest.Replace(text)) > maxPrompt || strings.Contains(text, "\x00"):
			return fault.New(fault.Invalid, "prompt %s.%s takes up to %d bytes when it is filled in, none of them zero", set, key, maxPrompt)
		}
	}
	if len(t.Reject) > maxPrompt || strings.Contains(t.Reject, "\x00") {
		return fault.New(fault.Invalid, "prompt %s.reject takes up to %d bytes, none of them zero", set, maxPrompt)
	}
	if !strings.Contains(t.SystemShow, "{pin}") {
		return fault.New(fault.Invalid, "prompt %s.system_show must hold {pin}", set)
	}
	return nil
}

// Lengths in bytes.
const (
	maxPrompt = 1000 // of a text that is filled in: two of them fit into a packet beside all else
	maxReason = 128  // of what stands for {reason}, which package pin says
)

// Load reads texts in TOML and puts them in place of the default ones: a table for each prompt set with the texts to replace.
func Load(file string) (Prompts, error) {
	texts := map[string]toml.Primitive{}
	meta, err := toml.DecodeFile(file, &texts)
	if err != nil {
		return nil, fault.New(fault.Invalid, "reading the prompts: %v", err)
	}
	prompts := Default()
	for name, table := range texts {
		set := access.PromptSet(name)
		t, known := prompts[set]
		if !known {
			return nil, fault.New(fault.Invalid, "%s: there is no prompt set %s: take securid, cisco-asa or plain", file, name)
		}
		if err := meta.PrimitiveDecode(table, &t); err != nil {
			return nil, fault.New(fault.Invalid, "%s: %v", file, err)
		}
		if err := t.check(set); err != nil {
			return nil, err
		}
		prompts[set] = t
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fault.New(fault.Invalid, "%s: there is no prompt %s", file, unknown[0])
	}
	return prompts, nil
}

// newPIN asks for a new PIN.
func (t *Texts) newPIN(r authentication.PINRules) string {
	text := t.NewPIN
	switch {
	case r.Alphanumeric:
		text = t.NewPINAlnum
	case r.Min == r.Max:
		text = t.NewPINFixed
	}
	return strings.NewReplacer("{min}", strconv.Itoa(r.Min), "{max}", strconv.Itoa(r.Max)).Replace(text)
}

// prompt is what the user reads in a challenge, and whether it may be seen what is typed. An unknown step is an error.
func (t *Texts) prompt(d authentication.Decision) (text string, echo bool, err error) {
	switch d.Step {
	case authentication.StepNextTokencode:
		if d.Mailed {
			return t.Mailed, false, nil
		}
		return t.Next, false, nil
	case authentication.StepChoose:
		return t.Choose, false, nil
	case authentication.StepNewPIN:
		text = t.newPIN(d.PIN)
		if d.Rejected == authentication.PINMismatch {
			text = t.PINDifferent + text
		} else if d.Rejected != "" {
			text = strings.ReplaceAll(t.PINBad, "{reason}", d.Rejected) + text
		}
		return text, false, nil
	case authentication.StepRepeatPIN:
		return t.Reenter, false, nil
	case authentication.StepSystemAsk:
		return t.SystemAsk, false, nil
	case authentication.StepSystemPIN:
		return strings.ReplaceAll(t.SystemShow, "{pin}", d.SystemPIN), true, nil
	case authentication.StepReauthenticate:
		if d.Mailed {
			return t.MailedWait, false, nil
		}
		return t.Wait, false, nil
	}
	return "", false, fmt.Errorf("radius: there is no prompt for the step %q", d.Step)
}
