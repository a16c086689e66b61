package tokenapp

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // photographs
	_ "image/png"  // screenshots, and what servers send

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/tallystick/tallystick/internal/fault"
)

// maxPixels is what a phone's camera makes, at up to 4 bytes each in memory. A
// picture says its size before it is unpacked, so that a small file cannot ask
// for all memory.
const maxPixels = 50_000_000

func isPicture(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\x89PNG\r\n")) || bytes.HasPrefix(data, []byte("\xff\xd8\xff"))
}

// pixels is how many a picture says that it has, 0 of what is none.
func pixels(data []byte) int64 {
	if !isPicture(data) {
		return 0
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return 0
	}
	return int64(config.Width) * int64(config.Height)
}

// readQR gives the text of the QR code in a PNG or JPEG picture.
func readQR(data []byte) (text string, err error) {
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return "", fault.New(fault.BadFormat, "the picture is damaged")
	}
	if most := maxPixels / depth(data, config.ColorModel); int64(config.Width)*int64(config.Height) > int64(most) {
		return "", fault.New(fault.TooLarge, "the picture has more than %d million pixels: cut out the QR code", most/1_000_000)
	}
	picture, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return "", fault.New(fault.BadFormat, "the picture is damaged")
	}
	light := gozxing.NewLuminanceSourceFromImage(picture)
	// Dark pages show codes in white on black.
	for _, source := range []gozxing.LuminanceSource{light, light.Invert()} {
		// The first adapts to shades and the second does not. Either reads pictures that the other cannot.
		for _, binarizer := range []gozxing.Binarizer{gozxing.NewHybridBinarizer(source), gozxing.NewGlobalHistgramBinarizer(source)} {
			bitmap, err := gozxing.NewBinaryBitmap(binarizer)
			if err != nil {
				return "", fmt.Errorf("reading the picture: %w", err)
			}
			// What a program drew is read as it stands, what a camera saw is looked for: each way now and then
			// misses what the other reads.
			for _, hint := range []gozxing.DecodeHintType{gozxing.DecodeHintType_TRY_HARDER, gozxing.DecodeHintType_PURE_BARCODE} {
				if text, ok := findQR(bitmap, hint); ok {
					return text, nil
				}
			}
		}
	}
	return "", noQR()
}

// maxCorners is how many places of a picture of that width and height may look like a corner of the code. The reader compares each three of
// them, so that a small picture of many would take it days; a noisy photograph has some thirty for each million pixels.
func maxCorners(width, height int) int { return min(200+width*height/25_000, 1500) }

// findQR reads the code in one way. The reader follows lines through pixels that anybody can have drawn, and its authors do not promise
// that it never loses its way.
func findQR(bitmap *gozxing.BinaryBitmap, way gozxing.DecodeHintType) (text string, ok bool) {
	defer func() {
		if recover() != nil {
			text, ok = "", false
		}
	}()
	corners, most := 0, maxCorners(bitmap.GetWidth(), bitmap.GetHeight())
	count := func(gozxing.ResultPoint) {
		if corners++; corners > most {
			panic("too many corners") // the reader has no other way out
		}
	}
	result, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{
		way: true, gozxing.DecodeHintType_NEED_RESULT_POINT_CALLBACK: gozxing.ResultPointCallback(count),
	})
	if err != nil {
		return "", false
	}
	return result.GetText(), true
}

// depth is how many times as much memory as others a picture takes for a pixel: PNGs may have 8 bytes, and of a progressive JPEG, which its
// frame header tells, all coefficients are held until the last scan is read.
func depth(data []byte, m color.Model) int {
	switch {
	case m == color.RGBA64Model || m == color.NRGBA64Model:
		return 2
	case bytes.HasPrefix(data, []byte("\xff\xd8")) && bytes.Contains(data, []byte("\xff\xc2\x00")):
		return 4
	}
	return 1
}

func noQR() error {
	return fault.New(fault.BadFormat, "there is no readable QR code in the picture")
}
