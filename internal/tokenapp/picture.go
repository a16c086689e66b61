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

// readQR gives the text of the QR code in a PNG or JPEG picture.
func readQR(data []byte) (text string, err error) {
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return "", fault.New(fault.BadFormat, "the picture is damaged")
	}
	if most := maxPixels / depth(config.ColorModel); config.Width*config.Height > most {
		return "", fault.New(fault.TooLarge, "the picture has more than %d million pixels: cut out the QR code", most/1_000_000)
	}
	picture, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return "", fault.New(fault.BadFormat, "the picture is damaged")
	}
	// The reader follows lines through pixels that anybody can have drawn, and its
	// authors do not promise that it never loses its way.
	defer func() {
		if r := recover(); r != nil {
			text, err = "", noQR()
		}
	}()
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
				result, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{hint: true})
				if err == nil {
					return result.GetText(), nil
				}
			}
		}
	}
	return "", noQR()
}

// depth is 2 for pixels of 8 bytes, as some PNGs have, else 1.
func depth(m color.Model) int {
	if m == color.RGBA64Model || m == color.NRGBA64Model {
		return 2
	}
	return 1
}

func noQR() error {
	return fault.New(fault.BadFormat, "there is no readable QR code in the picture")
}
