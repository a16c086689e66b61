package access

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/fault"
)

// A ReplyAttribute is what a RADIUS client gets with an accept, such as its Class. A name may come several times.
type ReplyAttribute struct {
	Name  string `json:"name"` // as in the dictionaries: Filter-Id
	Value string `json:"value"`
	// Profile is that of the tokens whose accepts carry it, in place of what names none; "" for any other.
	Profile string `json:"profile,omitempty"`
}

// A valueKind is how the value of an attribute is written (RFC 2865 section 5).
type valueKind int

const (
	textValue valueKind = iota
	integerValue
	addressValue // IPv4
)

// An attributeType is an attribute that may be returned. vendor is 0 for those of the RFCs.
type attributeType struct {
	number byte
	vendor uint32
	kind   valueKind
}

const vendorSpecific = 26

// replyAttributes are those that may be returned, by name: what gateways use to give users their group, address and
// limits. What is part of the protocol itself (State, Reply-Message, ...) is not among them.
var replyAttributes = map[string]attributeType{
	"Service-Type":        {number: 6, kind: integerValue},
	"Framed-Protocol":     {number: 7, kind: integerValue},
	"Framed-IP-Address":   {number: 8, kind: addressValue},
	"Framed-IP-Netmask":   {number: 9, kind: addressValue},
	"Filter-Id":           {number: 11},
	"Framed-MTU":          {number: 12, kind: integerValue},
	"Login-Service":       {number: 15, kind: integerValue},
	"Framed-Route":        {number: 22},
	"Class":               {number: 25},
	"Session-Timeout":     {number: 27, kind: integerValue},
	"Idle-Timeout":        {number: 28, kind: integerValue},
	"Framed-Pool":         {number: 88},
	"Cisco-AVPair":        {vendor: 9, number: 1},
	"Fortinet-Group-Name": {vendor: 12356, number: 1},
	"PaloAlto-User-Group": {vendor: 25461, number: 5},
}

// Encode gives the type and the value of the attribute as they are sent.
func (a ReplyAttribute) Encode() (number byte, value []byte, err error) {
	t, known := replyAttributes[a.Name]
	if !known {
		return 0, nil, fault.New(fault.Invalid, "no reply attribute %q: take one of %s", a.Name, strings.Join(slices.Sorted(maps.Keys(replyAttributes)), ", "))
	}
	if value, err = t.value(a); err != nil || t.vendor == 0 {
		return t.number, value, err
	}
	inside := binary.BigEndian.AppendUint32(nil, t.vendor)
	inside = append(inside, t.number, byte(2+len(value)))
	return vendorSpecific, append(inside, value...), nil
}

func (t attributeType) value(a ReplyAttribute) ([]byte, error) {
	switch t.kind {
	case integerValue:
		n, err := strconv.ParseUint(a.Value, 10, 32)
		if err != nil {
			return nil, fault.New(fault.Invalid, "%s takes a whole number from 0 to 4294967295", a.Name)
		}
		return binary.BigEndian.AppendUint32(nil, uint32(n)), nil
	case addressValue:
		addr, err := netip.ParseAddr(a.Value)
		if err != nil || !addr.Is4() {
			return nil, fault.New(fault.Invalid, "%s takes an IPv4 address", a.Name)
		}
		return addr.AsSlice(), nil
	}
	longest := 253
	if t.vendor != 0 {
		longest -= 6 // vendor, number and length
	}
	if a.Value == "" || len(a.Value) > longest || !utf8.ValidString(a.Value) || strings.ContainsFunc(a.Value, unicode.IsControl) {
		return nil, fault.New(fault.Invalid, "%s takes 1 to %d bytes of text without control characters", a.Name, longest)
	}
	return []byte(a.Value), nil
}

// Limits of what one client gets with one accept, and of what it has for all profiles. The attributes of a client, those of a user and
// some 900 bytes of Proxy-State fit into a packet of 4096 bytes: an accept that does not would use its code up for nothing.
const (
	maxReplyAttributes = 32
	maxReplyBytes      = 2048
	maxUserReplyBytes  = 1024
	maxOfAllProfiles   = 512
	longestProfile     = 128 // bytes
)

func checkAttributes(all []ReplyAttribute, most int) error {
	number, size := map[string]int{}, map[string]int{}
	for _, a := range all {
		_, value, err := a.Encode()
		if err != nil {
			return err
		}
		if len(a.Profile) > longestProfile || !utf8.ValidString(a.Profile) || strings.ContainsFunc(a.Profile, unicode.IsControl) {
			return fault.New(fault.Invalid, "no profile has the name %q", a.Profile)
		}
		number[a.Profile]++
		size[a.Profile] += 2 + len(value)
		if number[a.Profile] > maxReplyAttributes || size[a.Profile] > most || len(all) > maxOfAllProfiles {
			return fault.New(fault.Invalid, "an accept has up to %d of these attributes, of %d bytes together, and as many for each profile, but not above %d for all",
				maxReplyAttributes, most, maxOfAllProfiles)
		}
	}
	return nil
}
