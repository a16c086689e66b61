// Package device says what the apps of a platform can take: the device
// definitions, and the words for PIN types and delivery methods that profiles
// and tokens share (spec/software-token-lifecycle.md sections 2 and 4.1).
package device

import (
	"regexp"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/fault"
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

// A Definition is what one device type can take.
type Definition struct {
	Name        string // stable, lower case: "android"
	Title       string // for people: "Android"
	Version     int
	Digits      []int // allowed code lengths
	Intervals   []int // allowed intervals, seconds
	PINTypes    []PINType
	Methods     []Method
	ClassGUID   string         // binds a token to the device type; "" if the type has none
	DeviceID    *regexp.Regexp // what a device ID looks like, separators included; nil if none may be given
	CTFVersion  int            // version of compressed strings its apps read: 2, 3 or 4
	CTFPrefix   CTFPrefix      // URL form of compressed strings
	CTKIPLink   string         // start of the dynamic provisioning link
	Nickname    int            // longest nickname, characters; 0 if none is supported
	MaxPassword int            // longest delivery password, characters
	MaxTokens   int            // tokens an app of this type can hold; 0 if not known
}

// A CTFPrefix names the URL form of a compressed string (spec/ctf.md section 1).
type CTFPrefix string

// The URL forms.
const (
	PrefixAndroid CTFPrefix = "android" // http://127.0.0.1/securid/ctf?ctfData=
	PrefixIPhone  CTFPrefix = "iphone"  // com.rsa.securid.iphone://ctf?ctfData=
	PrefixSecurID CTFPrefix = "ios"     // com.rsa.securid://ctf?ctfData=
)

// Links of dynamic provisioning (spec/ct-kip.md section 6.3).
const (
	linkSecurID       = "com.rsa.securid://ctkip"
	linkAuthenticator = "securidauthenticator://ctkip"
)

var (
	anyID    = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z ._:{}-]{0,63}$`)
	mobileID = regexp.MustCompile(`^(?i:[0-9a-f]{4}[ -]?){6}$|^[0-9a-fA-F]{24}$|^[0-9a-fA-F]{40}$`)
)

// builtin are the definitions that ship with the server, in the order shown.
// Class GUIDs are those of spec/ctf.md section 5.1; the limits of passwords and
// nicknames those that existing apps take.
var builtin = []Definition{
	define("generic", "Generic", "", anyID, 2, PrefixSecurID, linkSecurID),
	define("android", "Android", "a01c4380-fc01-4df0-b113-7fb98ec74694", mobileID, 3, PrefixAndroid, linkSecurID),
	define("ios", "iOS", "556f1985-33dd-442c-9155-3a0e994f21b1", mobileID, 4, PrefixSecurID, linkSecurID),
	define("windows", "Windows desktop", "8f94b226-d362-4204-ac52-3b21fa333b6f", anyID, 3, PrefixSecurID, linkAuthenticator),
	define("macos", "macOS desktop", "d0955a53-569b-4ecc-9cf7-6c2a59d4e775", anyID, 3, PrefixSecurID, linkAuthenticator),
	define("linux", "Linux command line", "", anyID, 2, PrefixSecurID, linkSecurID),
}

func define(name, title, guid string, id *regexp.Regexp, ctfVersion int, prefix CTFPrefix, link string) Definition {
	return Definition{
		Name: name, Title: title, Version: 1,
		Digits: []int{6, 8}, Intervals: []int{30, 60}, PINTypes: []PINType{PINPad, Fob, NoPIN},
		Methods: []Method{CTKIP, CTF, File}, ClassGUID: guid, DeviceID: id,
		CTFVersion: ctfVersion, CTFPrefix: prefix, CTKIPLink: link, Nickname: 24, MaxPassword: 24,
	}
}

// All lists the definitions.
func All() []Definition { return slices.Clone(builtin) }

// aliases are other spellings of names that people try.
var aliases = map[string]string{
	"iphone": "ios", "ipad": "ios", "win": "windows", "windowsdesktop": "windows", "desktop": "windows",
	"mac": "macos", "macosdesktop": "macos", "osx": "macos", "linuxcli": "linux", "linuxcommandline": "linux", "any": "generic",
}

// Find returns the definition of that name; case, blanks, dashes and the
// commonest other spellings do not matter. [fault.DeviceNotFound] if none fits.
func Find(name string) (Definition, error) {
	key := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -_.", r) {
			return -1
		}
		return r
	}, strings.ToLower(name))
	if other, ok := aliases[key]; ok {
		key = other
	}
	var known []string
	for _, d := range builtin {
		if d.Name == key {
			return d, nil
		}
		known = append(known, d.Name)
	}
	return Definition{}, fault.New(fault.DeviceNotFound, "no device type %q: take one of %s", name, strings.Join(known, ", "))
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
