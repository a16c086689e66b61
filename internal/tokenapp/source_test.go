package tokenapp

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"html"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/fault"
	"rsc.io/qr"
)

// Strings of one token, from spec/ctf.md annex B.
const (
	exampleSerial   = "000123456789"
	examplePlain    = "200012345678973042071776752216050450744647071253341607664172162620001302716715614"
	examplePassword = "200012345678906077745113273160202063703667307163146227426172162620001302716770151" // secret
	exampleAndroid  = "200012345678927242707055170022166354557734542512502137065172162620001303072651505" // bound to the class Android
)

func readTestdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// qrPicture draws text as a QR code.
func qrPicture(t testing.TB, text string) []byte {
	t.Helper()
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	return code.PNG()
}

// photograph is a QR code small in a large grey picture, as JPEG.
func photograph(t testing.TB, text string) []byte {
	t.Helper()
	code, err := png.Decode(bytes.NewReader(qrPicture(t, text)))
	if err != nil {
		t.Fatal(err)
	}
	photo := image.NewGray(image.Rect(0, 0, 1200, 900))
	for y := range 900 {
		for x := range 1200 {
			grey := color.Gray{Y: uint8(150 + x/20)}
			if in := image.Pt(x-300, y-100); in.In(code.Bounds()) {
				if r, _, _, _ := code.At(in.X, in.Y).RGBA(); r == 0 {
					grey.Y = 40
				} else {
					grey.Y = 220
				}
			}
			photo.SetGray(x, y, grey)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, photo, &jpeg.Options{Quality: 80}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// whiteOnBlack is a QR code as a dark page shows it.
func whiteOnBlack(t testing.TB, text string) []byte {
	t.Helper()
	code, err := png.Decode(bytes.NewReader(qrPicture(t, text)))
	if err != nil {
		t.Fatal(err)
	}
	dark := image.NewGray(code.Bounds())
	for i := range dark.Pix {
		light := color.GrayModel.Convert(code.At(i%dark.Stride, i/dark.Stride)).(color.Gray)
		dark.Pix[i] = 255 - light.Y
	}
	var b bytes.Buffer
	if err := png.Encode(&b, dark); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// corners is a picture of nothing but corners of QR codes, a dot each pixel.
func corners(t testing.TB, side int) []byte {
	t.Helper()
	const corner, apart = 7, 9
	page := image.NewGray(image.Rect(0, 0, side, side))
	for i := range page.Pix {
		x, y := i%side%apart, i/side%apart
		ring := min(x, y, corner-1-x, corner-1-y)
		if ring < 0 || ring == 1 { // beside it, and between its frame and its middle
			page.Pix[i] = 255
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, page); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func archive(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// blocks are the digits as people read them to each other.
func blocks(digits string) string {
	text := ""
	for i, c := range digits {
		if i > 0 && i%5 == 0 {
			text += "-"
		}
		text += string(c)
	}
	return text
}

func TestSources(t *testing.T) {
	plain := readTestdata(t, "plain.sdtid")
	for name, c := range map[string]struct {
		data    []byte
		access  Access
		serials string
		want    fault.Code
	}{
		"digits":            {data: []byte(examplePlain), serials: exampleSerial},
		"blocks":            {data: []byte(blocks(examplePlain) + "\r\n"), serials: exampleSerial},
		"Android URL":       {data: []byte("http://127.0.0.1/securid/ctf?ctfData=" + examplePlain), serials: exampleSerial},
		"iPhone URL":        {data: []byte("com.rsa.securid.iphone://ctf?ctfData=" + examplePlain), serials: exampleSerial},
		"in a mail":         {data: []byte("Dear Alice,\n\nhttp://127.0.0.1/securid/ctf?ctfData=3D" + examplePlain + "\n\nRegards"), serials: exampleSerial},
		"in brackets":       {data: []byte("<com.rsa.securid://ctf?ctfData=" + examplePlain + ">"), serials: exampleSerial},
		"in HTML":           {data: []byte(`<html xmlns="http://www.w3.org/1999/xhtml"><p><a href="com.rsa.securid://ctf?ctfData=` + examplePlain + `">Import</a></p></html>`), serials: exampleSerial},
		"digits in HTML":    {data: []byte("<p>" + examplePlain + "</p>"), serials: exampleSerial},
		"HTML of other":     {data: []byte(`<html><a href="https://host.example/">Welcome</a></html>`), want: fault.BadFormat},
		"no declaration":    {data: []byte("<TKNBatch><TKN></TKN></TKNBatch>"), want: fault.BadFormat},
		"QR code":           {data: qrPicture(t, "com.rsa.securid://ctf?ctfData="+examplePlain), serials: exampleSerial},
		"photographed":      {data: photograph(t, "com.rsa.securid://ctf?ctfData="+examplePlain), serials: exampleSerial},
		"white on black":    {data: whiteOnBlack(t, "com.rsa.securid://ctf?ctfData="+examplePlain), serials: exampleSerial},
		"token file":        {data: plain, serials: "228306584707"},
		"after a mark":      {data: append([]byte("\ufeff"), plain...), serials: "228306584707"},
		"four tokens":       {data: readTestdata(t, "four-password.sdtid"), access: Access{Password: "secret"}, serials: "968673908641 000000000001 131521082161 023348317143"},
		"zip":               {data: archive(t, map[string][]byte{"alice_228306584707.SDTID": plain, "README.txt": []byte("hello")}), serials: "228306584707"},
		"zip of macOS":      {data: archive(t, map[string][]byte{"alice.sdtid": plain, "__MACOSX/._alice.sdtid": []byte("\x00\x05\x16\x07")}), serials: "228306584707"},
		"zip of a locked":   {data: archive(t, map[string][]byte{"a.sdtid": plain, "b.sdtid": readTestdata(t, "password.sdtid")}), want: fault.PasswordRequired},
		"password missing":  {data: []byte(examplePassword), want: fault.PasswordRequired},
		"password wrong":    {data: []byte(examplePassword), access: Access{Password: "Secret"}, want: fault.WrongPassword},
		"password right":    {data: []byte(examplePassword), access: Access{Password: "secret"}, serials: exampleSerial},
		"class, by itself":  {data: []byte("com.rsa.securid://ctf?ctfData=" + exampleAndroid), serials: exampleSerial},
		"class, named":      {data: []byte(exampleAndroid), access: Access{DeviceID: "A01C4380fc014df0b1137fb98ec74694"}, serials: exampleSerial},
		"another device":    {data: []byte(exampleAndroid), access: Access{DeviceID: "a01c4380-fc01-4df0-b113-7fb98ec74695"}, want: fault.WrongDevice},
		"file, class":       {data: readTestdata(t, "bound-android-password.sdtid"), access: Access{Password: "Correct_horse!battery&staple", Own: "d82c-467c"}, serials: "584917508172"},
		"checksum":          {data: []byte(strings.Replace(examplePlain, "789", "798", 1)), want: fault.ChecksumFailed},
		"empty":             {data: nil, want: fault.BadFormat},
		"prose":             {data: []byte("hello"), want: fault.BadFormat},
		"too much prose":    {data: bytes.Repeat([]byte("hello "), 20000), want: fault.BadFormat},
		"web page":          {data: []byte("https://"), want: fault.BadFormat},
		"XML of other kind": {data: []byte("<?xml version=\"1.0\"?><svg/>"), want: fault.BadFormat},
		"damaged zip":       {data: []byte("PK\x03\x04 and nothing"), want: fault.BadFormat},
		"zip without any":   {data: archive(t, map[string][]byte{"README.txt": plain}), want: fault.BadFormat},
		"zip bomb":          {data: archive(t, map[string][]byte{"a.sdtid": make([]byte, maxUnpacked+1)}), want: fault.TooLarge},
		"picture of nothing": {data: func() []byte {
			var b bytes.Buffer
			png.Encode(&b, image.NewGray(image.Rect(0, 0, 300, 300)))
			return b.Bytes()
		}(), want: fault.BadFormat},
		"picture of corners":     {data: corners(t, 1000), want: fault.BadFormat}, // at once: all threes of them would take minutes
		"picture cut":            {data: qrPicture(t, examplePlain)[:60], want: fault.BadFormat},
		"picture of prose":       {data: qrPicture(t, "hello"), want: fault.BadFormat},
		"picture too large":      {data: emptyPicture(16000, 8, 0), want: fault.TooLarge},
		"huge photograph":        {data: emptyPhotograph(0xc0, 65535), want: fault.TooLarge}, // of more pixels than an int of 32 bits counts
		"progressive photograph": {data: emptyPhotograph(0xc2, 3600), want: fault.TooLarge},
		"no such photograph":     {data: emptyPhotograph(0xc2, 3500), want: fault.BadFormat},
		"picture too deep":       {data: emptyPicture(7000, 16, 6), want: fault.TooLarge},
		"picture too short":      {data: emptyPicture(7000, 8, 6), want: fault.BadFormat},
		"no TLS":                 {data: []byte("com.rsa.securid://ctkip?scheme=http&url=example.com/x&activationCode=1"), want: fault.ServerUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			var tokens []Token
			s, err := ParseSource(c.data, "source")
			if err == nil {
				tokens, err = s.Open(c.access)
			}
			if got := fault.CodeOf(err); got != c.want || (err == nil) != (c.want == "") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			var got []string
			for _, token := range tokens {
				got = append(got, token.Serial)
				if token.Seed.IsZero() {
					t.Error("a token without seed")
				}
			}
			if strings.Join(got, " ") != c.serials {
				t.Errorf("got %v, want %s", got, c.serials)
			}
		})
	}
}

// emptyPicture says that it is a square with sides of so many pixels, each of
// colours of so many bits and of a PNG's colour type, and has none of them.
func emptyPicture(side uint32, bits, colours byte) []byte {
	header := binary.BigEndian.AppendUint32([]byte("IHDR"), side)
	header = append(binary.BigEndian.AppendUint32(header, side), bits, colours, 0, 0, 0)
	data := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), header...)
	return binary.BigEndian.AppendUint32(data, crc32.ChecksumIEEE(header))
}

// emptyPhotograph is the beginning of a JPEG in colour that says so, baseline (0xc0) or progressive (0xc2).
func emptyPhotograph(frame byte, side uint16) []byte {
	header := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, frame, 0x00, 0x11, 0x08}, side)
	header = binary.BigEndian.AppendUint16(header, side)
	return append(header, "\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"+"\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00"...)
}

func TestReadSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alice.sdtid")
	if err := os.WriteFile(path, readTestdata(t, "plain.sdtid"), 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]fault.Code{
		path: "", examplePlain: "", "-": "", filepath.Dir(path): fault.BadFormat,
		examplePlain[:80]: fault.BadFormat, "nosuch.sdtid": fault.BadFormat, "": fault.BadFormat,
		strings.Repeat("x", 5000):                  fault.BadFormat,
		"Your token: " + examplePlain + " (Alice)": "", "Dear Alice,\n\nyour token is " + examplePlain + ".\n\nRegards": "",
		"Your token:\r" + examplePlain: "", "Your token: " + blocks(examplePlain): "", "Dear Alice,\n\nhello": fault.BadFormat,
	} {
		_, err := ReadSource(arg, strings.NewReader(examplePlain))
		if got := fault.CodeOf(err); got != want || (err == nil) != (want == "") {
			t.Errorf("%.20q: got %v, want %q", arg, err, want)
		}
	}
	odd := filepath.Join(t.TempDir(), "of\nalice") // a name is one first
	if err := os.WriteFile(odd, []byte(examplePlain), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSource(odd, nil); err != nil {
		t.Error(err)
	}
	endless := bytes.NewReader(make([]byte, maxSource+1))
	if _, err := ReadSource("-", endless); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("endless input: %v", err)
	}
}

// A mail as a program saves it may hold the string, link or file in any of its parts, encoded, beside pictures of any size.
func TestMails(t *testing.T) {
	const link = "com.rsa.securid://ctkip?scheme=https&url=host.example:7004/ctkip/services/CtkipService&activationCode=123"
	encoded := func(data []byte) string {
		text := base64.StdEncoding.EncodeToString(data)
		var lines strings.Builder
		for ; len(text) > 76; text = text[76:] {
			lines.WriteString(text[:76] + "\r\n")
		}
		return lines.String() + text + "\r\n"
	}
	part := func(kind string, data []byte) string {
		return "--x\r\nContent-Type: " + kind + "\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" + encoded(data)
	}
	const header = "From: help@host.example\r\nList-Help: <https://host.example/>\r\nMIME-Version: 1.0\r\n"
	const mixed = header + "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
	greeting := part("text/plain; charset=utf-8", []byte("Dear Alice,\n\nsee https://help.example/ for help.\n"))
	logo := part("image/png", bytes.Repeat([]byte("\x89PNG"), 100_000))
	xhtml := `<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><p><a href="` + html.EscapeString(link) + `">Import</a></p></html>`
	for name, c := range map[string]struct {
		data string
		link bool
		want fault.Code
	}{
		"base64":            {header + "Content-Transfer-Encoding: base64\r\n\r\n" + encoded([]byte("Your token: "+examplePlain)), false, ""},
		"a part":            {mixed + logo + greeting + part("text/html", []byte("<p>"+examplePlain+"</p>")) + "--x--\r\n", false, ""},
		"a link in a part":  {mixed + greeting + part("text/html", []byte(xhtml)) + logo + "--x--\r\n", true, ""},
		"not closed":        {mixed + greeting + part("text/html", []byte(xhtml)), true, ""},
		"a file":            {mixed + greeting + part("application/octet-stream", readTestdata(t, "plain.sdtid")) + "--x--\r\n", false, ""},
		"a picture":         {mixed + greeting + part("image/png", qrPicture(t, examplePlain)) + "--x--\r\n", false, ""},
		"many pictures":     {mixed + part("image/png", emptyPicture(7071, 8, 0)) + part("image/png", qrPicture(t, examplePlain)) + "--x--\r\n", false, fault.TooLarge}, // each takes its time
		"a text beside":     {mixed + strings.Repeat(part("image/png", emptyPicture(7071, 8, 0)), 2) + part("text/plain", []byte(examplePlain)) + "--x--\r\n", false, ""},
		"forwarded":         {strings.ReplaceAll(mixed, "=x", "=y") + "--y\r\nContent-Type: message/rfc822\r\n\r\n" + mixed + greeting + part("text/plain", []byte(examplePlain)) + "--x--\r\n--y--\r\n", false, ""},
		"after a large one": {header + "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + logo + "--x\r\nContent-Type: text/plain\r\n\r\nYour token: " + examplePlain + "\r\n--x--\r\n", false, ""},
		"damaged":           {mixed + greeting + part("text/plain", []byte(strings.Replace(examplePlain, "789", "798", 1))) + logo + "--x--\r\n", false, fault.ChecksumFailed},
		"nothing":           {mixed + greeting + logo + "--x--\r\n", false, fault.BadFormat},
		"long HTML":         {"<html><style>" + strings.Repeat("p { margin: 0 }\n", 10_000) + "</style><p>" + examplePlain + "</p></html>", false, ""},
		"a link in it":      {mixed + part("text/html", []byte("<html><style>"+strings.Repeat("p { margin: 0 }\n", 10_000)+"</style>"+xhtml)) + "--x--\r\n", true, ""},
		"a string in it":    {"<html>" + strings.Repeat("<p>https://host.example/</p>\n", 10_000) + `<a href="http://127.0.0.1/securid/ctf?ctfData=` + examplePlain + `">`, false, ""},
		"XHTML alone":       {xhtml, true, ""},
		"XHTML, plain mail": {header + "\r\n" + xhtml, true, ""},
	} {
		s, err := ParseSource([]byte(c.data), "mail")
		if fault.CodeOf(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if got, is := s.Link(); is != c.link || is && (got.URL != "https://host.example:7004/ctkip/services/CtkipService" || got.Code != "123") {
			t.Errorf("%s: leads to %s", name, got.URL)
		}
		if tokens, err := s.Open(Access{}); err != nil || (len(tokens) == 1) == c.link {
			t.Errorf("%s: %d tokens, %v", name, len(tokens), err)
		}
	}
}

// Parts within parts come to an end.
func TestMailsHaveAnEnd(t *testing.T) {
	deep := strings.Repeat("Content-Type: message/rfc822\n\n", 100_000)
	wide := "Content-Type: multipart/mixed; boundary=x\n\n" + strings.Repeat("--x\n\nhello\n", 100_000)
	for text, want := range map[string]int{deep: 0, wide: maxMailParts} {
		if got := len(mailParts([]byte(text))); got != want {
			t.Errorf("%d parts, want %d", got, want)
		}
	}
}

// Quoted-printable mail breaks its lines anywhere in a string or link.
func TestQuotedPrintable(t *testing.T) {
	const link = "com.rsa.securid://ctkip?scheme=https&url=host.example:7004/ctkip/services/CtkipService&activationCode=123"
	for n := range 80 {
		for _, around := range []string{"%s\n", "<p><a href=\"%s\">Import it</a></p>"} {
			mail := func(text string) *Source {
				data := "From: help@host.example\r\n\r\n" + quotedPrintable(t, strings.Repeat("-", n)+fmt.Sprintf(" "+around, html.EscapeString(text)))
				s, err := ParseSource([]byte(data), "mail")
				if err != nil {
					t.Fatalf("%v in\n%s", err, data)
				}
				return s
			}
			if got, _ := mail(link).Link(); got.URL != "https://host.example:7004/ctkip/services/CtkipService" || got.Code != "123" {
				t.Fatalf("%d before %s: %s %q", n, around, got.URL, string(got.Code))
			}
			if token, err := mail("com.rsa.securid://ctf?ctfData="+examplePlain).Token(Access{}, ""); err != nil || token.Serial != exampleSerial {
				t.Fatalf("%d before %s: %v", n, around, err)
			}
		}
	}
}

func quotedPrintable(t testing.TB, text string) string {
	t.Helper()
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLinks(t *testing.T) {
	const app, loopback = "com.rsa.securid://ctkip?scheme=https&url=host.example:7004/ctkip/services/CtkipService&activationCode=123",
		"http://127.0.0.1/securid/ctkip?scheme=https&url=host.example:7004/ctkip/services/CtkipService&activationCode=123"
	asHTML := html.EscapeString(app)
	for text, wantCode := range map[string]bool{
		"<" + app + ">":      true,
		"<" + loopback + ">": true,
		"<https://host.example:7004/ctkip/services/CtkipService>":                                                 false,
		"Dear Alice,\r\n\r\nopen " + app + ".\r\nSee https://help.example/ for more, or mail <help@host.example>": true,
		app + ".": true, "(" + app + ")": true, asHTML: true, // copied with what stood beside it, or out of HTML
		app + "&region=eu": true, html.EscapeString(app+"&region=eu&notify=1") + ".": true, // which begin like "&reg;" and "&not;"
		"Open this link (" + loopback + ") or <" + app + ">":                                                                      true,
		`<html xmlns="http://www.w3.org/1999/xhtml"><p><a href="` + asHTML + `">` + asHTML + `</a></p></html>`:                    true,
		"<a href='" + asHTML + "'>Import</a>":                                                                                     true,
		"<p>&lt;" + asHTML + "&gt;</p>":                                                                                           true,
		"Open com.rsa.securid://ctkip?url=https://host.example:7004/ctkip/services/CtkipService\nand type the code":               false,
		"https://host.example:7004/ctkip/services/CtkipService":                                                                   false,
		"com.rsa.securid://ctkip?scheme=https&url=host.example:7004/ctkip/services/CtkipService&activationCode=123":               true,
		"com.rsa.securid://ctkip?url=https://host.example:7004/ctkip/services/CtkipService":                                       false,
		"securidauthenticator://ctkip?scheme=https&url=host.example:7004/ctkip/services/CtkipService&activationCode=123":          true,
		"http://127.0.0.1/securid/ctkip?scheme=https&url=host.example:7004/ctkip/services/CtkipService&activationCode=123":        true,
		"http://127.0.0.1/securid/ctf?schema=https&url=host.example:7004/ctkip/services/CtkipService&activationCode=123\n":        true,
		"com.rsa.securid://ctkip?SCHEME=https&URL=host.example:7004%2Fctkip%2Fservices%2FCtkipService&ACTIVATIONCODE=123&extra=1": true,
	} {
		s, err := ParseSource([]byte(text), "link")
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		link, ok := s.Link()
		if !ok || link.URL != "https://host.example:7004/ctkip/services/CtkipService" || (link.Code == "123") != wantCode {
			t.Errorf("%s: leads to %s", text, link.URL)
		}
		if shown := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(shown, "123") {
			t.Errorf("shown: %s", shown)
		}
	}
}

// A token that is to stay must be ours; one that is only looked at need not be.
func TestBindingOfFiles(t *testing.T) {
	bound := func(id string) Token {
		token := newToken("000000000001", 1)
		token.DeviceID, token.DeviceBound = id, id != ""
		return token
	}
	const own = "d82c-467c-56fb-2058-edf8-add6"
	for _, c := range []struct {
		id   string
		a    Access
		want bool
	}{
		{"", Access{Own: own}, true},
		{own, Access{Own: own}, true},
		{"D82C 467C 56FB 2058 EDF8 ADD6", Access{Own: own}, true},
		{"d82c-467c-56fb-2058-edf8-add7", Access{Own: own}, false},
		{"8f94b226-d362-4204-ac52-3b21fa333b6f", Access{Own: own}, true},
		{"S-1-5-21-1", Access{Own: own, DeviceID: "s-1-5-21-1"}, true},
		{own, Access{Own: own, DeviceID: "s-1-5-21-1"}, false},
		{"s-1-5-21-1", Access{}, true},
		{"s-1-5-21-1", Access{DeviceID: "other"}, false},
	} {
		if err := c.a.admits(bound(c.id)); (err == nil) != c.want {
			t.Errorf("%q with %+v: %v", c.id, c.a, err)
		}
	}
}

// The public part is shown without a password, and nothing more.
func TestInspectLocked(t *testing.T) {
	for _, data := range [][]byte{[]byte(examplePassword), readTestdata(t, "password.sdtid")} {
		s, err := ParseSource(data, "source")
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := s.Inspect(Access{})
		if err != nil || len(tokens) != 1 {
			t.Fatalf("%d tokens, %v", len(tokens), err)
		}
		if i := tokens[0].Info(); !tokens[0].Seed.IsZero() || !i.PasswordProtected || i.Serial == "" || i.Expiry == "" {
			t.Errorf("%+v", i)
		}
		if _, err := s.Inspect(Access{Password: "wrong"}); fault.CodeOf(err) != fault.WrongPassword {
			t.Errorf("got %v", err)
		}
		if tokens, err := s.Inspect(Access{Password: "secret"}); err != nil || tokens[0].Seed.IsZero() {
			t.Errorf("with the password: %v", err)
		}
	}
}

// FuzzSource gives arbitrary octets to everything that reads what a user was
// given.
func FuzzSource(f *testing.F) {
	for _, seed := range [][]byte{
		[]byte(examplePlain), []byte("com.rsa.securid://ctf?ctfData=" + exampleAndroid), readTestdata(f, "plain.sdtid"),
		qrPicture(f, examplePlain), archive(f, map[string][]byte{"a.sdtid": readTestdata(f, "plain.sdtid")}),
		[]byte("com.rsa.securid://ctkip?scheme=https&url=host.example&activationCode=1"),
		[]byte("(com.rsa.securid://ctkip?scheme=https&amp;url=host.example&amp;activationCode=1)."), emptyPhotograph(0xc2, 16),
		archive(f, map[string][]byte{"__MACOSX/._a.sdtid": {0}, "a.sdtid": readTestdata(f, "password.sdtid")}),
		[]byte(`<a href="com.rsa.securid://ctkip?scheme=3Dhttps&amp;url=3Dhost.example">`),
		[]byte("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: base64\n\nMjAwMDEyMzQ1Njc4\n--x--\n"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSource(data, "source")
		if err != nil {
			if fault.CodeOf(err) == "" {
				t.Errorf("no refusal but %v", err)
			}
			return
		}
		tokens, err := s.Open(Access{Password: "secret"})
		if err == nil {
			for _, token := range tokens {
				if len(token.Serial) != 12 || token.Seed.IsZero() {
					t.Errorf("opened as %+v", token.Info())
				}
			}
		}
		s.Inspect(Access{})
	})
}
