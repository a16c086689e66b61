// Package device says what the apps of a platform can take: the device
// definitions, and the words for PIN types and delivery methods that profiles
// and tokens share (spec/software-token-lifecycle.md sections 2 and 4.1).
//
// Some definitions are built in; others come in definition files ([Parse]), XML,
// JSON or YAML, which docs/devices.md describes. A [Catalog] is all of them, and
// [Registry.Current] the one that a server goes by.
package device

import (
	"regexp"
	"strings"
	"time"
)

// A PINType says how PIN and tokencode become the passcode.
type PINType string

// The PIN types.
const (
	PINPad PINType = "pinpad" // the app adds the PIN to the tokencode, digit by digit without carry
	Fob    PINType = "fob"    // the user types the PIN, then the tokencode
	NoPIN  PINType = "none"   // the tokencode is the passcode
)

// A Method is a way to deliver a seed.
type Method string

// The delivery methods.
const (
	File  Method = "file"  // a token file (.sdtid)
	CTF   Method = "ctf"   // a compressed token string
	CTKIP Method = "ctkip" // dynamic seed provisioning
)

// A Definition is what one device type can take. In JSON it is the content of a definition file.
type Definition struct {
	Name        string         `json:"device_type"` // stable, lower case: "android"
	Title       string         `json:"title"`       // for people: "Android"
	Version     int            `json:"version"`
	Digits      []int          `json:"digits"`           // allowed code lengths
	Intervals   []int          `json:"interval_seconds"` // allowed intervals
	PINTypes    []PINType      `json:"pin_types"`
	KeyBits     int            `json:"key_bits"`                    // size of the seed
	Methods     []Method       `json:"delivery_methods"`            // the one to prefer first
	QR          bool           `json:"qr"`                          // its apps read deliveries from QR codes
	ClassGUID   string         `json:"class_guid,omitempty"`        // binds a token to the device type; "" if the type has none
	DeviceID    *regexp.Regexp `json:"device_id_pattern,omitempty"` // of a whole device ID, separators included; nil if none may be given
	CTFVersion  int            `json:"ctf_version"`                 // version of compressed strings its apps read: 2, 3 or 4
	CTFLinks    []Link         `json:"ctf_links"`                   // URL forms of compressed strings, the default first
	CTKIPLinks  []Link         `json:"ctkip_links"`                 // forms of dynamic provisioning links, the default first
	Nickname    int            `json:"max_nickname"`                // longest nickname, characters; 0 if none is supported
	MaxPassword int            `json:"max_password"`                // longest delivery password, characters
	MaxTokens   int            `json:"max_tokens"`                  // tokens an app of this type can hold; 0 if not known

	BuiltIn    bool      `json:"-"` // it came with the server
	ImportedAt time.Time `json:"-"` // zero if it is built in
}

// A Link names the form of a URL that opens the app with a delivery.
type Link string

// The forms of compressed strings (spec/ctf.md section 1).
const (
	LinkAndroid Link = "android" // http://127.0.0.1/securid/ctf?ctfData=
	LinkIPhone  Link = "iphone"  // com.rsa.securid.iphone://ctf?ctfData=
	LinkIOS     Link = "ios"     // com.rsa.securid://ctf?ctfData=
)

// The forms of dynamic provisioning links (spec/ct-kip.md section 6.3).
const (
	LinkSecurID       Link = "securid"       // com.rsa.securid://ctkip?...
	LinkAuthenticator Link = "authenticator" // securidauthenticator://ctkip?...
	LinkLoopback      Link = "loopback"      // http://127.0.0.1/securid/ctkip?..., for mail programs that drop unknown schemes
	LinkAsk           Link = "securid_ask"   // as LinkSecurID, without the activation code: the app asks for it
)

// starts is how each form begins, as definition files may name it, too.
var starts = map[Link]string{
	LinkAndroid: "http://127.0.0.1/securid/ctf", LinkIPhone: "com.rsa.securid.iphone://ctf", LinkIOS: "com.rsa.securid://ctf",
	LinkSecurID: "com.rsa.securid://ctkip", LinkAuthenticator: "securidauthenticator://ctkip", LinkLoopback: "http://127.0.0.1/securid/ctkip",
}

// Links are the forms of URL for one delivery method, the default first; none for files.
func (d Definition) Links(m Method) []Link {
	switch m {
	case CTF:
		return d.CTFLinks
	case CTKIP:
		return d.CTKIPLinks
	}
	return nil
}

// TakesDeviceID tells whether a text is a device ID of this device type, from its first character to its last.
func (d Definition) TakesDeviceID(id string) bool {
	if d.DeviceID == nil {
		return false
	}
	whole, err := regexp.Compile(`\A(?:` + d.DeviceID.String() + `)\z`)
	return err == nil && whole.MatchString(id)
}

var (
	anyID    = regexp.MustCompile(`[0-9A-Za-z][0-9A-Za-z ._:{}-]{0,63}`)
	mobileID = regexp.MustCompile(`([0-9A-Fa-f]{4}[ -]?){6}|[0-9A-Fa-f]{40}`)
)

// builtin are the definitions that ship with the server, in the order shown.
// Class GUIDs are those of spec/ctf.md section 5.1; the limits of passwords and
// nicknames those that existing apps take.
var builtin = []Definition{
	define("generic", "Generic", "", anyID, 2, LinkIOS, LinkSecurID, LinkAuthenticator, LinkLoopback, LinkAsk),
	define("android", "Android", "a01c4380-fc01-4df0-b113-7fb98ec74694", mobileID, 3, LinkAndroid, LinkSecurID, LinkLoopback, LinkAuthenticator, LinkAsk),
	define("ios", "iOS", "556f1985-33dd-442c-9155-3a0e994f21b1", mobileID, 4, LinkIOS, LinkSecurID, LinkLoopback, LinkAuthenticator, LinkAsk),
	define("windows", "Windows desktop", "8f94b226-d362-4204-ac52-3b21fa333b6f", anyID, 3, LinkIOS, LinkAuthenticator, LinkSecurID, LinkAsk),
	define("macos", "macOS desktop", "d0955a53-569b-4ecc-9cf7-6c2a59d4e775", anyID, 3, LinkIOS, LinkAuthenticator, LinkSecurID, LinkAsk),
	define("linux", "Linux command line", "", anyID, 2, LinkIOS, LinkSecurID, LinkAuthenticator, LinkLoopback, LinkAsk),
}

func define(name, title, guid string, id *regexp.Regexp, ctfVersion int, ctf Link, ctkip ...Link) Definition {
	d := Definition{
		Name: name, Title: title, Version: 1, BuiltIn: true,
		Digits: []int{6, 8}, Intervals: []int{30, 60}, PINTypes: []PINType{PINPad, Fob, NoPIN}, KeyBits: keyBits,
		Methods: []Method{CTKIP, CTF, File}, QR: true, ClassGUID: guid, DeviceID: id,
		CTFVersion: ctfVersion, CTFLinks: []Link{ctf}, CTKIPLinks: ctkip, Nickname: maxNickname, MaxPassword: 24,
	}
	for _, other := range []Link{LinkAndroid, LinkIPhone, LinkIOS} {
		if other != ctf {
			d.CTFLinks = append(d.CTFLinks, other)
		}
	}
	return d
}

// SameID tells whether two device IDs are the same but for case and separators, which apps show and people drop.
func SameID(a, b string) bool { return normalID(a) == normalID(b) }

func normalID(id string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -:{}", r) {
			return -1
		}
		return r
	}, strings.ToLower(id))
}
