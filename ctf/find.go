package ctf

import (
	"regexp"
	"strings"
)

// maxText is how much text is searched for a string.
const maxText = 64 << 10

var (
	// words are what the data of every version is made of.
	words = regexp.MustCompile(`[A-Za-z0-9%+/-]+`)

	// parameters are the words after ctfData= in a URL. Quoted-printable mail
	// has =3D for the equals sign; no data starts with 3.
	parameters = regexp.MustCompile(`(?i:ctfdata=(?:3d)?)\s*([A-Za-z0-9%+/-]+)`)

	// softBreaks are the line breaks that quoted-printable mail adds.
	softBreaks = strings.NewReplacer("=\r\n", "", "=\n", "")
)

// Parse finds the token string in a text of at most 64 KiB and checks what can
// be checked without secrets. It takes the forms of section 1 in any case of
// letters: any URL with a ctfData parameter, also with the damage that mail
// programs do to it, else digits with or without dashes, or bare base64. What
// stands before and after the string does not matter.
//
// Errors: [ErrFormat] if there is none, [ErrTooLarge], [ErrLength],
// [ErrVersion], [ErrChecksum] and [ErrAlgorithm]. Where several words might be
// meant for a string and none is one, the error is about the longest.
func Parse(text string) (*String, error) {
	if len(text) > maxText {
		return nil, ErrTooLarge
	}
	text = softBreaks.Replace(text)
	candidates, smartphone := words.FindAllString(text, -1), false
	if found := parameters.FindAllStringSubmatch(text, -1); found != nil {
		candidates, smartphone = candidates[:0], true
		for _, match := range found {
			candidates = append(candidates, match[1])
		}
	}
	longest, reason := 0, ErrFormat
	for _, word := range candidates {
		s, err := parseWord(word)
		if err == nil {
			s.smartphone = smartphone
			return s, nil
		}
		if len(word) > longest {
			longest, reason = len(word), err
		}
	}
	return nil, reason
}

// parseWord reads data, whose first characters tell its version.
func parseWord(word string) (*String, error) {
	switch {
	case word[0] >= '0' && word[0] <= '9':
		d, err := parseDigits(word)
		if err != nil {
			return nil, err
		}
		protected, bound := d.flags&flagPassword != 0, d.flags&flagDevice != 0
		return &String{Version: int(d.version - '0'), PasswordProtected: protected, DeviceBound: bound, digits: d}, nil
	case strings.HasPrefix(word, startV3) || strings.HasPrefix(word, startV4):
		b, err := parseBinary(word)
		if err != nil {
			return nil, err
		}
		protected, bound := b[atPasswordLock] != 0, b[atDeviceLock] != 0
		return &String{Version: int(b[atVersion]), PasswordProtected: protected, DeviceBound: bound, binary: b}, nil
	}
	return nil, ErrFormat
}
