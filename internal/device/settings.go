package device

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// What the server can do; a definition that asks for more is [fault.DeviceUnsupported].
const (
	keyBits       = 128 // of a seed that is delivered
	maxNickname   = 24  // characters that existing apps take
	minPassword   = 8   // a delivery password has at least so many
	maxPassword   = 32  // bytes that a token file can be locked with
	maxTokens     = 100_000
	maxPattern    = 512 // characters
	longestTitle  = 128
	highestNumber = 1_000_000 // of a version
)

var (
	nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)
	guidForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

// definition makes an entry a definition, with the defaults for what it does not say.
func (e entry) definition() (Definition, error) {
	d := Definition{KeyBits: keyBits, QR: true, CTFVersion: 2, Nickname: maxNickname, MaxPassword: 24}
	lines := map[string]int{}
	for _, f := range e.fields {
		s := settings[spelled(f.name)]
		if at, twice := lines[s.name]; twice {
			return Definition{}, invalid(f.line, "%s is there twice: it is on line %d already", short(f.name), at)
		}
		lines[s.name] = f.line
		values := f.split()
		switch {
		case len(values) > maxValues:
			return Definition{}, invalid(f.line, "%s takes up to %d values", short(f.name), maxValues)
		case !s.list && len(f.values) > 1:
			return Definition{}, invalid(f.values[1].line, "%s takes one value", short(f.name))
		case s.set == nil:
			continue
		}
		if !s.list {
			values = f.values
		}
		for _, v := range values {
			if v.text == "" {
				continue
			}
			if err := s.set(&d, v); err != nil {
				return Definition{}, err
			}
		}
	}
	return d, d.complete(e.line)
}

// split are the values of a field, which may stand in one text with blanks or commas between them.
func (f field) split() []value {
	var all []value
	for _, v := range f.values {
		for _, text := range strings.FieldsFunc(v.text, func(r rune) bool { return r == ',' || r == ';' || unicode.IsSpace(r) }) {
			all = append(all, value{text, v.line})
		}
	}
	return all
}

// complete checks what must be there, and puts lists into one order.
func (d *Definition) complete(line int) error {
	for _, must := range []struct {
		name    string
		missing bool
	}{
		{"device_type", d.Name == ""}, {"version", d.Version == 0}, {"digits", len(d.Digits) == 0}, {"interval_seconds", len(d.Intervals) == 0},
		{"pin_types", len(d.PINTypes) == 0}, {"delivery_methods", len(d.Methods) == 0},
	} {
		if must.missing {
			return invalid(line, "the definition does not say its %s (%s in XML)", must.name, elementNames[must.name])
		}
	}
	slices.Sort(d.Digits)
	slices.Sort(d.Intervals)
	d.PINTypes = inOrder(d.PINTypes, PINPad, Fob, NoPIN)
	d.Methods = inOrder(d.Methods, CTKIP, CTF, File)
	if len(d.CTFLinks) == 0 {
		d.CTFLinks = []Link{LinkIOS}
	}
	if len(d.CTKIPLinks) == 0 {
		d.CTKIPLinks = []Link{LinkSecurID}
	}
	return nil
}

// inOrder sorts values as they are listed.
func inOrder[T comparable](values []T, order ...T) []T {
	return slices.DeleteFunc(order, func(v T) bool { return !slices.Contains(values, v) })
}

// A setting is what a field of a definition file means.
type setting struct {
	name string // the member of the JSON form
	list bool
	set  func(*Definition, value) error // nil for what the server says and no file decides
}

// elementNames are the names of the XML form for those of the JSON form.
var elementNames = map[string]string{
	"device_type": "Name", "title": "Title", "version": "Version", "digits": "CodeLengths", "interval_seconds": "Intervals", "pin_types": "PINTypes",
	"key_bits": "KeySize", "delivery_methods": "DeliveryMethods", "qr": "QR", "class_guid": "DeviceClass", "device_id_pattern": "DeviceIDPattern",
	"device_id_length": "DeviceIDLength", "ctf_version": "CTFVersion", "ctf_links": "CTFLinks", "ctkip_links": "CTKIPLinks",
	"max_nickname": "MaxNickname", "max_password": "MaxPassword", "max_tokens": "MaxTokens",
}

// settings are the fields by their names in either form, without what does not matter in a name.
var settings = func() map[string]*setting {
	all := map[string]*setting{}
	for _, s := range []*setting{
		{"device_type", false, setName},
		{"title", false, setTitle},
		{"version", false, whole(1, highestNumber, func(d *Definition) *int { return &d.Version })},
		{"digits", true, oneOf(map[string]int{"6": 6, "8": 8}, func(d *Definition) *[]int { return &d.Digits })},
		{"interval_seconds", true, oneOf(map[string]int{"30": 30, "60": 60}, func(d *Definition) *[]int { return &d.Intervals })},
		{"pin_types", true, oneOf(pinTypeNames, func(d *Definition) *[]PINType { return &d.PINTypes })},
		{"key_bits", false, whole(keyBits, keyBits, func(d *Definition) *int { return &d.KeyBits })},
		{"delivery_methods", true, oneOf(methodNames, func(d *Definition) *[]Method { return &d.Methods })},
		{"qr", false, setQR},
		{"class_guid", false, setClass},
		{"device_id_pattern", false, setPattern},
		{"device_id_length", false, setIDLength},
		{"ctf_version", false, whole(2, 4, func(d *Definition) *int { return &d.CTFVersion })},
		{"ctf_links", true, oneOf(linkNames(LinkAndroid, LinkIPhone, LinkIOS), func(d *Definition) *[]Link { return &d.CTFLinks })},
		{"ctkip_links", true, oneOf(linkNames(LinkSecurID, LinkAuthenticator, LinkLoopback, LinkAsk), func(d *Definition) *[]Link { return &d.CTKIPLinks })},
		{"max_nickname", false, whole(0, maxNickname, func(d *Definition) *int { return &d.Nickname })},
		{"max_password", false, whole(minPassword, maxPassword, func(d *Definition) *int { return &d.MaxPassword })},
		{"max_tokens", false, whole(0, maxTokens, func(d *Definition) *int { return &d.MaxTokens })},
		{"built_in", false, nil},
		{"imported_at", false, nil},
	} {
		all[spelled(s.name)] = s
		if element, ok := elementNames[s.name]; ok {
			all[spelled(element)] = s
		}
	}
	return all
}()

var pinTypeNames = map[string]PINType{
	"pinpad": PINPad, "pinpadstyle": PINPad, "fob": Fob, "fobstyle": Fob, "keyfob": Fob, "none": NoPIN, "nopin": NoPIN, "tokencodeonly": NoPIN, "tokencode": NoPIN,
}

var methodNames = map[string]Method{
	"file": File, "sdtid": File, "tokenfile": File, "ctf": CTF, "string": CTF, "compressedstring": CTF, "compressed": CTF,
	"ctkip": CTKIP, "dynamic": CTKIP, "dynamicseedprovisioning": CTKIP,
}

// linkNames are the forms of links by name, and by how such a link begins.
func linkNames(links ...Link) map[string]Link {
	all := map[string]Link{}
	for _, l := range links {
		all[spelled(string(l))] = l
		if start := starts[l]; start != "" {
			all[spelled(start)] = l
		}
	}
	return all
}

// oneOf adds one of some values to a list; which of their names it goes by does not matter.
func oneOf[T comparable](names map[string]T, list func(*Definition) *[]T) func(*Definition, value) error {
	return func(d *Definition, v value) error {
		text, _, _ := strings.Cut(v.text, "?") // of a link, its beginning
		found, ok := names[spelled(text)]
		if !ok {
			var known []string
			for _, n := range names {
				known = append(known, fmt.Sprint(n))
			}
			slices.Sort(known)
			return unsupported(v.line, "%q is not supported: take some of %s", short(v.text), strings.Join(slices.Compact(known), ", "))
		}
		to := list(d)
		if slices.Contains(*to, found) {
			return invalid(v.line, "%q is there twice", short(v.text))
		}
		*to = append(*to, found)
		return nil
	}
}

// whole sets a whole number.
func whole(low, high int, of func(*Definition) *int) func(*Definition, value) error {
	return func(d *Definition, v value) error {
		n, err := strconv.Atoi(v.text)
		switch {
		case err != nil:
			return invalid(v.line, "%q is no whole number", short(v.text))
		case n < low || n > high:
			return unsupported(v.line, "%d is not supported: take %s", n, within(low, high))
		}
		*of(d) = n
		return nil
	}
}

func within(low, high int) string {
	if low == high {
		return strconv.Itoa(low)
	}
	return fmt.Sprintf("%d to %d", low, high)
}

func setName(d *Definition, v value) error {
	name := strings.Join(strings.Fields(strings.ToLower(v.text)), "-")
	if !nameForm.MatchString(name) {
		return invalid(v.line, "a device type has a name of 1 to 64 letters and digits of ASCII, with blanks, dots, dashes and underlines inside")
	}
	d.Name = name
	if d.Title == "" {
		d.Title = strings.Join(strings.Fields(v.text), " ")
	}
	return nil
}

func setTitle(d *Definition, v value) error {
	d.Title = strings.Join(strings.Fields(v.text), " ")
	if len([]rune(d.Title)) > longestTitle || strings.ContainsFunc(d.Title, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return invalid(v.line, "a title takes up to %d printable characters", longestTitle)
	}
	return nil
}

func setQR(d *Definition, v value) error {
	switch strings.ToLower(v.text) {
	case "true", "yes", "1":
		d.QR = true
	case "false", "no", "0":
		d.QR = false
	default:
		return invalid(v.line, "%q is neither true nor false", short(v.text))
	}
	return nil
}

func setClass(d *Definition, v value) error {
	guid := strings.Trim(v.text, "{}")
	if !guidForm.MatchString(guid) {
		return unsupported(v.line, "a device class is a GUID such as a01c4380-fc01-4df0-b113-7fb98ec74694")
	}
	d.ClassGUID = guid
	return nil
}

func setPattern(d *Definition, v value) error {
	if d.DeviceID != nil {
		return invalid(v.line, "device_id_pattern and device_id_length say the same thing: take one of them")
	}
	pattern, err := regexp.Compile(v.text)
	if err != nil || len(v.text) > maxPattern {
		return invalid(v.line, "the pattern of device IDs is a regular expression (RE2) of up to %d characters, and this is none", maxPattern)
	}
	d.DeviceID = pattern
	return nil
}

// setIDLength takes a number, or two with a dash between them.
func setIDLength(d *Definition, v value) error {
	if d.DeviceID != nil {
		return invalid(v.line, "device_id_pattern and device_id_length say the same thing: take one of them")
	}
	low, high, isRange := strings.Cut(strings.ReplaceAll(v.text, " ", ""), "-")
	if !isRange {
		high = low
	}
	least, err1 := strconv.Atoi(low)
	most, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || least < 1 || most < least || most > 64 {
		return invalid(v.line, "the length of device IDs is a number from 1 to 64, or two of them with a dash between: 24, or 8-40")
	}
	d.DeviceID = regexp.MustCompile(fmt.Sprintf(`[0-9A-Za-z ._:{}-]{%d,%d}`, least, most))
	return nil
}
