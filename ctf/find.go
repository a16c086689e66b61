package ctf

import (
	"iter"
	"regexp"
	"slices"
	"strings"
)

// maxText is how much text is searched for a string.
const maxText = 64 << 10

var (
	// parameter comes before the data in a URL. Quoted-printable mail has =3D
	// for the equals sign; no data starts with 3.
	parameter = regexp.MustCompile(`(?i)ctfdata=(3d)?`)

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
	words, smartphone := candidates(softBreaks.Replace(text))
	longest, reason := 0, ErrFormat
	for _, word := range words {
		if len(word) < textLength && len(word) <= longest {
			continue // neither a string nor what the error should be about
		}
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

// candidates are the words that may be data: after every ctfData parameter the
// first, or in a text without one all of them.
func candidates(text string) (words []string, url bool) {
	parts := parameter.Split(text, -1)
	if len(parts) == 1 {
		return slices.Collect(fields(text)), false
	}
	for _, part := range parts[1:] {
		for word := range fields(part) {
			words = append(words, word)
			break
		}
	}
	return words, true
}

// fields cuts a text into words of the characters that data is made of.
func fields(text string) iter.Seq[string] {
	return strings.FieldsFuncSeq(text, func(c rune) bool { return !alphanumeric(c) && !strings.ContainsRune("+-/%", c) })
}

func alphanumeric(c rune) bool {
	return decimal(c) || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
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
