// Package typeface is the font of the documents that the server makes: DejaVu Sans Condensed, and what it can show. It has Latin, Greek, Cyrillic,
// Armenian, Georgian, Hebrew, Arabic and more, but not the scripts of East and South Asia, whose fonts are larger than this program.
//
//	f, err := typeface.Load()
//	ok := f.Has('ł')          // true
//	seen := typeface.InSight(text) // in the order in which it is drawn
package typeface

import (
	"strings"

	"github.com/go-fonts/dejavu/dejavusanscondensed"
	"github.com/go-fonts/dejavu/dejavusanscondensedbold"
	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/bidi"
)

// Regular and Bold are the font as TrueType files. They must not be changed.
var (
	Regular = dejavusanscondensed.TTF
	Bold    = dejavusanscondensedbold.TTF
)

// A Font answers what [Regular] can show. It is not safe for concurrent use.
type Font struct {
	font   *sfnt.Font
	buffer sfnt.Buffer
	glyphs map[rune]sfnt.GlyphIndex // 0 for none
}

// Load reads the font.
func Load() (*Font, error) {
	f, err := sfnt.Parse(Regular)
	return &Font{font: f, glyphs: map[rune]sfnt.GlyphIndex{}}, err
}

// Has tells whether the font has a character. What is beyond the basic plane counts as missing: documents do not write it.
func (f *Font) Has(r rune) bool { return f.Glyph(r) != 0 }

// Glyph is the number of the glyph of a character, 0 if there is none.
func (f *Font) Glyph(r rune) int {
	glyph, asked := f.glyphs[r]
	if !asked {
		var err error
		if glyph, err = f.font.GlyphIndex(&f.buffer, r); err != nil || r > 0xFFFF {
			glyph = 0
		}
		f.glyphs[r] = glyph
	}
	return int(glyph)
}

// Advance is how wide a character is, in thousandths of the size of the type; 0 if there is none.
func (f *Font) Advance(r rune) int {
	const size = 1000
	glyph := f.Glyph(r)
	if glyph == 0 {
		return 0
	}
	wide, err := f.font.GlyphAdvance(&f.buffer, sfnt.GlyphIndex(glyph), fixed.I(size), font.HintingNone)
	if err != nil {
		return 0
	}
	return wide.Round()
}

// Box is the smallest box that each glyph fits into, in thousandths of the size of the type: left, bottom, right and top, from the beginning of the
// base line.
func (f *Font) Box() (box [4]int, err error) {
	const size = 1000
	b, err := f.font.Bounds(&f.buffer, fixed.I(size), font.HintingNone)
	return [4]int{b.Min.X.Floor(), -b.Max.Y.Ceil(), b.Max.X.Ceil(), -b.Min.Y.Floor()}, err
}

// InSight puts parts of a text that are written from right to left into the order in which they are drawn.
func InSight(text string) string {
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
