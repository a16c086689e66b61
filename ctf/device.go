package ctf

import "strings"

// ClassGUIDs bind a token to a kind of app rather than to one device
// (section 5.1): public values, by platform. Other programs try them by
// themselves, in the order of [ClassNames], before they ask for a device ID.
var ClassGUIDs = map[string]string{
	"iphone":   "556f1985-33dd-442c-9155-3a0e994f21b1",
	"android":  "a01c4380-fc01-4df0-b113-7fb98ec74694",
	"bb":       "868c28f8-31bf-4911-9876-ebece5c3f2ab",
	"bb10":     "b77a1d06-d505-4200-90d3-1bb397748704",
	"winphone": "c483b592-63f0-4f19-b4cb-a6bce8e57159",
	"win":      "8f94b226-d362-4204-ac52-3b21fa333b6f",
	"mac":      "d0955a53-569b-4ecc-9cf7-6c2a59d4e775",
}

// ClassNames are the platforms of [ClassGUIDs] in the order in which they are tried.
var ClassNames = []string{"iphone", "android", "bb", "bb10", "winphone", "win", "mac"}

// lengthV2 is how much of a device ID counts in a length class of version 2 (section 5.2).
func lengthV2(smartphone bool) int {
	if smartphone {
		return 40
	}
	return 32
}

// deviceV2 is a device ID as version 2 reads it: cut first, then reduced to hexadecimal digits. So the same
// GUID with and without dashes gives two results where the cut falls into it.
func deviceV2(id string, smartphone bool) string {
	id = id[:min(len(id), lengthV2(smartphone))]
	return keep(id, func(r rune) bool { return r >= '0' && r <= '9' || r >= 'A' && r <= 'F' })
}

// deviceV1 is the reading of version 1, which drops the decimal digits and keeps the rest: so
// the programs in the field have it (section 5.2).
func deviceV1(id string, smartphone bool) string {
	id = id[:min(len(id), lengthV2(smartphone))]
	return keep(id, func(r rune) bool { return r < '0' || r > '9' })
}

// deviceV3 is a device ID as versions 3 and 4 read it: letters and digits, at most 48.
func deviceV3(id string) string {
	id = keep(id, func(r rune) bool { return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' })
	return id[:min(len(id), 48)]
}

// keep converts to upper case and drops what does not belong.
func keep(id string, belongs func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		if r < 0x80 && belongs(r) {
			return r
		}
		return -1
	}, id)
}

// field is device characters zero-filled to n bytes.
func field(device string, n int) []byte {
	b := make([]byte, n)
	copy(b, device)
	return b
}

// unseparated drops what people write between groups.
func unseparated(id string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" -:{}.", r) {
			return -1
		}
		return r
	}, id)
}
