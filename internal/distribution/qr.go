package distribution

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"rsc.io/qr"
	"rsc.io/qr/coding"
)

// quiet is the blank margin that readers need around a QR code, in modules.
const quiet = 4

// A QRCode is a drawn QR code, ready to be shown.
type QRCode struct{ code *coding.Code }

// DrawQR draws text as a QR code with error correction level H, or the highest that the
// text leaves room for: codes are shown on screens and printed.
func DrawQR(text string) (QRCode, error) {
	var err error
	for _, level := range []coding.Level{coding.H, coding.Q, coding.M, coding.L} {
		var c *qr.Code
		if c, err = qr.Encode(text, qr.Level(level)); err != nil {
			continue // too much text for the level
		}
		best, err := masked(text, coding.Version((c.Size-17)/4), level)
		return QRCode{best}, err
	}
	return QRCode{}, fmt.Errorf("drawing a QR code: %w", err)
}

// masked draws a code with the mask that makes it the easiest to read. The library takes the first one, with which
// now and then a code looks in places like the corner marks that readers look for.
func masked(text string, version coding.Version, level coding.Level) (best *coding.Code, err error) {
	var form coding.Encoding = coding.String(text)
	for _, dense := range []coding.Encoding{coding.Alpha(text), coding.Num(text)} {
		if dense.Check() == nil {
			form = dense
		}
	}
	least := 0
	for mask := range coding.Mask(8) {
		plan, err := coding.NewPlan(version, level, mask)
		if err != nil {
			return nil, err
		}
		code, err := plan.Encode(form)
		if err != nil {
			return nil, err
		}
		if p := penalty(code); best == nil || p < least {
			best, least = code, p
		}
	}
	return best, nil
}

// penalty is how hard a code is to read, by the rules of ISO/IEC 18004 section 7.8.3: long runs of one colour, blocks of
// it, what looks like a corner mark, and an uneven share of black.
func penalty(c *coding.Code) int {
	sum, dark := 0, 0
	for a := range c.Size {
		row := make([]bool, c.Size)
		column := make([]bool, c.Size)
		for b := range c.Size {
			row[b], column[b] = c.Black(b, a), c.Black(a, b)
			dark += bit(row[b])
			if a > 0 && b > 0 && row[b] == row[b-1] && row[b] == c.Black(b, a-1) && row[b] == c.Black(b-1, a-1) {
				sum += 3
			}
		}
		sum += linePenalty(row) + linePenalty(column)
	}
	percent := 100 * dark / (c.Size * c.Size)
	return sum + 10*(max(percent-50, 50-percent)/5)
}

// linePenalty is that of one row or column.
func linePenalty(line []bool) int {
	const mark = 0b1011101 // a corner mark's dark and light modules
	sum, run, last := 0, 0, 0
	for i, black := range line {
		if i > 0 && black == line[i-1] {
			run++
		} else {
			run = 1
		}
		switch {
		case run == 5:
			sum += 3
		case run > 5:
			sum++
		}
		// The last eleven modules as bits: a mark with four light modules on one side.
		last = (last<<1 | bit(black)) & (1<<11 - 1)
		if i >= 10 && (last == mark<<4 || last == mark) {
			sum += 40
		}
	}
	return sum
}

// side is the width of the picture with its margin, in modules.
func (q QRCode) side() int { return q.code.Size + 2*quiet }

// black tells the colour of a module of the picture.
func (q QRCode) black(x, y int) bool { return q.code.Black(x-quiet, y-quiet) }

// PNG gives the code as a picture of one bit per pixel, each module scale pixels wide.
func (q QRCode) PNG(scale int) ([]byte, error) {
	n := q.side() * scale
	img := image.NewPaletted(image.Rect(0, 0, n, n), color.Palette{color.White, color.Black})
	for y := range n {
		for x := range n {
			if q.black(x/scale, y/scale) {
				img.Pix[y*img.Stride+x] = 1
			}
		}
	}
	var out bytes.Buffer
	err := png.Encode(&out, img)
	return out.Bytes(), err
}

// SVG gives the code as a drawing that scales.
func (q QRCode) SVG() []byte {
	var path strings.Builder
	for y := range q.side() {
		for x := range q.side() {
			if q.black(x, y) {
				fmt.Fprintf(&path, "M%d %dh1v1h-1z", x, y)
			}
		}
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" shape-rendering="crispEdges">`+
		`<rect width="%[1]d" height="%[1]d" fill="#fff"/><path d="%[2]s"/></svg>`+"\n", q.side(), path.String())
}

// Terminal gives the code as lines of half blocks, two modules a character. It prints the light modules, black on
// white whatever the terminal's colours, because many readers want dark on light.
func (q QRCode) Terminal() string {
	var out strings.Builder
	for y := 0; y < q.side(); y += 2 {
		out.WriteString("\x1b[30;107m")
		for x := range q.side() {
			out.WriteString([...]string{" ", "▀", "▄", "█"}[bit(q.black(x, y))+2*bit(q.black(x, y+1))])
		}
		out.WriteString("\x1b[0m\n")
	}
	return out.String()
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
