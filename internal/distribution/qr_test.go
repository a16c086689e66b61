package distribution

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"image/png"
	"math/big"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// Pictures of many deliveries are read by a program that we did not write.
func TestQRCodesAreRead(t *testing.T) {
	n := 200
	if testing.Short() {
		n = 20
	}
	for i := range n {
		digits, err := rand.Int(rand.Reader, new(big.Int).Exp(big.NewInt(10), big.NewInt(80), nil))
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("com.rsa.securid://ctf?ctfData=2%080d", digits)
		if i%3 == 0 {
			text = text[len(text)-81:] // digits alone are drawn as such
		}
		code, err := DrawQR(text)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := code.PNG(8)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			t.Fatal(err)
		}
		bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
		if err != nil {
			t.Fatal(err)
		}
		got, err := qrcode.NewQRCodeReader().Decode(bitmap, map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
		if err != nil || got.GetText() != text {
			t.Errorf("%s is not read: %v", text, err)
		}
	}
}
