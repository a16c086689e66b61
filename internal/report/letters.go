package report

import (
	"strings"
	"unicode"

	"codeberg.org/go-pdf/fpdf"

	"github.com/tallystick/tallystick/internal/typeface"
)

// The typeface is part of each document, as far as it is used.
const (
	family = "dejavu"
	bold   = "B"
)

// replacement stands for a character that the font does not have.
const replacement = '\uFFFD'

// letters are what a document can show.
type letters struct {
	font    *typeface.Font
	missing bool // some text has one that it does not have
}

func loadLetters() (*letters, error) {
	font, err := typeface.Load()
	return &letters{font: font}, err
}

func (l *letters) embed(f *fpdf.Fpdf) {
	f.AddUTF8FontFromBytes(family, "", typeface.Regular)
	f.AddUTF8FontFromBytes(family, bold, typeface.Bold)
}

// shown is a text as it is drawn: in the order in which it is seen, without what cannot be.
func (l *letters) shown(text string) string {
	plain := true
	text = strings.Map(func(r rune) rune {
		switch {
		case r < unicode.MaxASCII:
			if r < ' ' {
				return ' '
			}
			return r
		case unicode.Is(unicode.Cf, r): // marks that are not seen
			return -1
		}
		plain = false
		if l.font.Has(r) {
			return r
		}
		l.missing = true
		return replacement
	}, text)
	if plain {
		return text
	}
	return typeface.InSight(text)
}
