package distribution

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"rsc.io/qr"
)

// quiet is the blank margin that readers need around a QR code, in modules.
const quiet = 4

// A QRCode is a drawn QR code, ready to be shown.
type QRCode struct{ code *qr.Code }

// DrawQR draws text as a QR code with error correction level H, or the highest that the
// text leaves room for: codes are shown on screens and printed.
func DrawQR(text string) (QRCode, error) {
	var err error
	for _, level := range []qr.Level{qr.H, qr.Q, qr.M, qr.L} {
		var c *qr.Code
		if c, err = qr.Encode(text, level); err == nil {
			return QRCode{c}, nil
		}
	}
	return QRCode{}, fmt.Errorf("drawing a QR code: %w", err)
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
