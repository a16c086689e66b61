package report

import (
	"strings"
	"unicode"

	"codeberg.org/go-pdf/fpdf"
	"github.com/go-fonts/dejavu/dejavusanscondensed"
	"github.com/go-fonts/dejavu/dejavusanscondensedbold"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/bidi"
)

// DejaVu Sans Condensed is part of each document, as far as it is used: Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic and
// more, but not the scripts of East and South Asia, whose fonts are larger than this program.
const (
	family = "dejavu"
	bold   = "B"
)

// replacement stands for a character that the font does not have.
const replacement = '\uFFFD'

// letters are what a document can show.
type letters struct {
	font    *sfnt.Font
	buffer  sfnt.Buffer
	known   map[rune]bool
	missing bool // some text has one that it does not have
}

func loadLetters() (*letters, error) {
	font, err := sfnt.Parse(dejavusanscondensed.TTF)
	return &letters{font: font, known: map[rune]bool{}}, err
}

func (l *letters) embed(f *fpdf.Fpdf) {
	f.AddUTF8FontFromBytes(family, "", dejavusanscondensed.TTF)
	f.AddUTF8FontFromBytes(family, bold, dejavusanscondensedbold.TTF)
}

// has tells whether the font has a character.
func (l *letters) has(r rune) bool {
	has, asked := l.known[r]
	if !asked {
		glyph, err := l.font.GlyphIndex(&l.buffer, r)
		has = err == nil && glyph != 0 && r <= 0xFFFF // what is beyond, the library does not write
		l.known[r] = has
	}
	return has
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
		if l.has(r) {
			return r
		}
		l.missing = true
		return replacement
	}, text)
	if plain {
		return text
	}
	return inSight(text)
}

// inSight puts parts that are written from right to left into the order in which they are drawn.
func inSight(text string) string {
	var p bidi.Paragraph
	if _, err := p.SetString(text); err != nil {
		return text
	}
	order, err := p.Order()
	if err != nil || order.NumRuns() == 0 {
		return text
	}
	var b strings.Builder
	for i := range order.NumRuns() {
		run := order.Run(i)
		if run.Direction() == bidi.RightToLeft {
			b.WriteString(bidi.ReverseString(run.String()))
		} else {
			b.WriteString(run.String())
		}
	}
	return b.String()
}
