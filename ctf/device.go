package ctf

import "strings"

// A Class binds a token to a kind of app rather than to one device.
type Class struct {
	Name string // the platform: iphone, android, bb, bb10, winphone, win or mac
	GUID string // what is used as the device ID
}

// Classes are the known classes (section 5.1), in the order in which other
// programs try them by themselves before they ask for a device ID. The values
// are public, so a class keeps nobody out.
var Classes = []Class{
	{"iphone", "556f1985-33dd-442c-9155-3a0e994f21b1"},
	{"android", "a01c4380-fc01-4df0-b113-7fb98ec74694"},
	{"bb", "868c28f8-31bf-4911-9876-ebece5c3f2ab"},
	{"bb10", "b77a1d06-d505-4200-90d3-1bb397748704"},
	{"winphone", "c483b592-63f0-4f19-b4cb-a6bce8e57159"},
	{"win", "8f94b226-d362-4204-ac52-3b21fa333b6f"},
	{"mac", "d0955a53-569b-4ecc-9cf7-6c2a59d4e775"},
}

// How many bytes of a device ID count.
const (
	lengthOther      = 32 // versions 1 and 2, plain and blocks
	lengthSmartphone = 40 // versions 1 and 2, in the URLs
	lengthBinary     = 48 // versions 3 and 4
)

// lengthClass is the length that counts in a string of versions 1 and 2.
func lengthClass(smartphone bool) int {
	if smartphone {
		return lengthSmartphone
	}
	return lengthOther
}

// deviceV2 is a device ID as version 2 reads it: cut first, and only then
// reduced to hexadecimal digits. So a GUID with dashes and the same without
// give different results where the cut falls into them.
func deviceV2(id string, length int) string {
	return keep(id[:min(len(id), length)], func(c rune) bool { return decimal(c) || c >= 'A' && c <= 'F' })
}

// deviceV1 is a device ID as version 1 reads it. Programs in the field drop
// the decimal digits there and keep the rest, which looks like a mistake, but
// no real string is known that would settle it (section 5.2).
func deviceV1(id string, length int) string {
	return keep(id[:min(len(id), length)], func(c rune) bool { return !decimal(c) })
}

// deviceV3 is a device ID as versions 3 and 4 read it: letters and digits,
// cut last.
func deviceV3(id string) string {
	id = keep(id, alphanumeric)
	return id[:min(len(id), lengthBinary)]
}

// keep gives the ASCII characters that belong, in upper case. What is not
// ASCII, or was cut within a character, never belongs.
func keep(id string, belongs func(rune) bool) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c < 0x80 && belongs(c) {
			return c
		}
		return -1
	}, id)
}

func decimal(c rune) bool { return c >= '0' && c <= '9' }

// field is what readers hash: the device ID, zero-filled.
func field(device string, length int) []byte {
	b := make([]byte, length)
	copy(b, device)
	return b
}

// unseparated drops what people write between groups.
var unseparated = strings.NewReplacer(" ", "", "-", "", ":", "", ".", "", "{", "", "}", "")
