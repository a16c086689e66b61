package ctf

import (
	"fmt"
	"strings"
)

// maxText is how much text is searched for a string.
const maxText = 64 << 10

// Parse finds the token string in a text and checks what can be checked
// without secrets. It takes every form of section 1 in any case of letters: the
// digits with dashes, any URL that carries ctfData, also with the damage that mail programs
// do to it (=3D, soft line breaks, a slash before the question mark), and bare base64. What
// stands before a URL, and after the string, does not matter.
//
// Errors: ErrFormat, ErrLength, ErrTooLarge, ErrVersion, ErrChecksum, ErrAlgorithm.
func Parse(text string) (*String, error) {
	if len(text) > maxText {
		return nil, ErrTooLarge
	}
	text = strings.TrimSpace(strings.NewReplacer("=\r\n", "", "=\n", "").Replace(text))
	data, url := cutData(text)
	if data == "" {
		return nil, ErrFormat
	}
	if data[0] >= '0' && data[0] <= '9' {
		return parseDigitString(data, url)
	}
	return parseBinaryString(data)
}

// cutData finds where the data starts, and tells whether it stood in a URL.
func cutData(text string) (data string, url bool) {
	const key = "ctfdata="
	if i := strings.Index(lower(text), key); i >= 0 {
		data = text[i+len(key):]
		if strings.HasPrefix(lower(data), "3d") {
			data = data[2:] // quoted-printable; no data starts with 3
		}
		return data, true
	}
	return text, false
}

// lower is ASCII lower case: it keeps every byte in its place, which strings.ToLower does not.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// parseDigitString reads versions 1 and 2: digits and dashes up to anything else.
func parseDigitString(data string, url bool) (*String, error) {
	end := strings.IndexFunc(data, func(r rune) bool { return (r < '0' || r > '9') && r != '-' })
	if end < 0 {
		end = len(data)
	}
	text := strings.ReplaceAll(data[:end], "-", "")
	if text[0] != '1' && text[0] != '2' {
		return nil, fmt.Errorf("%w: it starts with %c", ErrVersion, text[0])
	}
	if len(text) < textLength || len(text) >= textLength+checkDigits {
		return nil, fmt.Errorf("%w: %d digits instead of %d", ErrLength, len(text), textLength)
	}
	d, err := parseDigits(text)
	if err != nil {
		return nil, err
	}
	return &String{
		Version: d.version, PasswordProtected: d.flags&flagPassword != 0, DeviceBound: d.flags&flagDevice != 0,
		smartphone: url, digits: d,
	}, nil
}

// parseBinaryString reads versions 3 and 4: base64, percent-encoded or not, up to anything else.
func parseBinaryString(data string) (*String, error) {
	if data[0] != 'A' && data[0] != 'B' {
		return nil, ErrFormat
	}
	var text strings.Builder
	for i := 0; i < len(data); i++ {
		c := data[i]
		if c == '%' {
			if i+2 >= len(data) || hexDigit(data[i+1]) < 0 || hexDigit(data[i+2]) < 0 {
				return nil, fmt.Errorf("%w: a damaged %% in the URL", ErrLength)
			}
			c = byte(hexDigit(data[i+1])<<4 | hexDigit(data[i+2]))
			i += 2
		}
		if c == '&' || c == '#' || c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			break
		}
		text.WriteByte(c)
	}
	if text.Len() < base64Length {
		return nil, fmt.Errorf("%w: %d characters instead of %d", ErrVersion, text.Len(), base64Length)
	}
	if text.Len() > base64Length {
		return nil, fmt.Errorf("%w: %d characters instead of %d", ErrLength, text.Len(), base64Length)
	}
	b, err := parseBinary(text.String())
	if err != nil {
		return nil, err
	}
	return &String{Version: int(b[0]), PasswordProtected: b[1] != 0, DeviceBound: b[2] != 0, binary: b}, nil
}

// base64Length is the length of versions 3 and 4 in base64.
const base64Length = 388

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
