package tokenapp

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/fault"
)

// maxSource is how much of a file or of standard input is read: a photograph
// of a QR code is the largest thing that makes sense.
const maxSource = 16 << 20

// A Source is what a user was given: one or more tokens, locked or not, or a
// link to get one from. It does not print its content.
type Source struct {
	name      string // for people: a path, or what kind of thing it is; never the content
	envelopes []envelope
	link      *ctkip.Link
}

// An envelope is one token file or string. Both of its methods give every
// token in it or none.
type envelope interface {
	// outline gives what can be read without any secret, without seeds; readable
	// is false where that is nothing.
	outline() (tokens []Token, readable bool)
	// open checks everything and gives the tokens with their seeds.
	open(Access) ([]Token, error)
}

// Format hides the content, whatever the verb: it can hold a seed or an
// activation code.
func (s *Source) Format(f fmt.State, _ rune) { io.WriteString(f, s.name) }

// ReadSource reads what arg names: "-" for stdin, the path of a token file, of
// a zip archive that holds some, of a picture with a QR code or of a mail; or arg is
// itself a compressed token string or a provisioning link, or the mail that one
// came in. BAD_FORMAT is for anything else, TOO_LARGE for what is beyond any
// token file or picture.
func ReadSource(arg string, stdin io.Reader) (*Source, error) {
	if arg == "-" {
		return readSource("standard input", stdin)
	}
	if arg == "" {
		return nil, fault.New(fault.BadFormat, "the source is empty")
	}
	f, err := os.Open(arg)
	if err == nil {
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return nil, fault.New(fault.BadFormat, "%s is a folder: name a file in it", cleanText(arg, 40))
		}
		return readSource(arg, f)
	}
	if looksLikeToken(arg) {
		name := "the token string"
		if strings.Contains(arg, "://") {
			name = "the link"
		}
		return ParseSource([]byte(arg), name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noSuchFile(arg)
	}
	return nil, err
}

// noSuchFile repeats the name unless it is so long that it could be a token
// string with a letter in it.
func noSuchFile(name string) error {
	if len(name) > 40 {
		name = "of that name"
	}
	return fault.New(fault.BadFormat, "there is no file %s, and that is no token string or provisioning link either", cleanText(name, 40))
}

// looksLikeToken tells a token string, even a damaged one or one with the text
// of a mail around it, from a path.
func looksLikeToken(s string) bool {
	s = strings.TrimSpace(s)
	return strings.Contains(s, "://") || strings.HasPrefix(s, "<") || strings.ContainsAny(s, "\r\n") || longDigits(s) >= 0 ||
		len(s) > 40 && strings.Trim(s, "0123456789-") == "" ||
		len(s) > 255 // no file system takes such a name
}

func readSource(name string, r io.Reader) (*Source, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSource+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSource {
		return nil, fault.New(fault.TooLarge, "%s has more than %d MiB", name, maxSource>>20)
	}
	return ParseSource(data, name)
}

// ParseSource reads data of any kind that a Source can be, or the mail that it
// came in, whose parts may be encoded; name is what to call it in messages.
func ParseSource(data []byte, name string) (*Source, error) {
	s, err := parseSource(data, name)
	if err == nil {
		return s, nil
	}
	seen := int64(0)
	for _, part := range mailParts(data) {
		n := pixels(part)
		if seen+n > maxPixels { // of all pictures together: looking for codes takes time, and a mail may hold many
			if fault.CodeOf(err) == fault.BadFormat {
				err = fault.New(fault.TooLarge, "%s has pictures of more than %d million pixels: save the one with the QR code, and take that", name, maxPixels/1_000_000)
			}
			continue
		}
		seen += n
		s, partErr := parseSource(part, name)
		if partErr == nil {
			return s, nil
		}
		// Most parts are no token, which is no news; a damaged one is.
		if code := fault.CodeOf(partErr); fault.CodeOf(err) == fault.BadFormat && code != fault.BadFormat && code != fault.TooLarge {
			err = partErr
		}
	}
	return nil, err
}

func parseSource(data []byte, name string) (*Source, error) {
	s := &Source{name: name}
	var err error
	switch {
	case isPicture(data):
		var text string
		if text, err = readQR(data); err == nil {
			err = s.addText([]byte(text))
		}
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		err = readArchive(data, s.addText)
	default:
		err = s.addText(data)
	}
	if err != nil {
		return nil, fault.Wrap(err, "%s", name)
	}
	return s, nil
}

// addText adds a token file, a string or a link.
func (s *Source) addText(text []byte) error {
	trimmed := strings.TrimSpace(string(text[:min(len(text), maxText)]))
	unbroken := softBreaks.Replace(trimmed)
	switch {
	case bytes.Contains(text, []byte("<?xml ")) && bytes.Contains(text, []byte("TKNBatch")) || strings.HasPrefix(trimmed, "<TKNBatch"): // a mail may be XML, too
		return s.add(parseSDTID(text))
	case len(text) > maxText:
		part := tokenIn(text)
		if part == nil {
			return fault.New(fault.BadFormat, "this is no token file, string or link")
		}
		return s.addText(part)
	case strings.Contains(strings.ToLower(unbroken), "ctfdata="):
		return s.add(parseCTF(trimmed))
	case strings.Contains(unbroken, "://"):
		link, err := parseLink(findLink(trimmed))
		s.link = &link
		return err
	}
	return s.add(parseCTF(trimmed))
}

// maxText is how much is searched for a string or link, which most mails are shorter than.
const maxText = 64 << 10

// beginnings are those of strings and links, in lower case.
var beginnings = []string{"ctfdata=", "com.rsa.securid://", "securidauthenticator://", "http://127.0.0.1/securid/", "http://localhost/securid/"}

// tokenIn is the part of a text of any length that begins with the first string
// or link, nil where there is none. HTML can have a lot before it.
func tokenIn(text []byte) []byte {
	lower := make([]byte, len(text)) // octet for octet, which bytes.ToLower is not
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	first := longDigits(text)
	for _, b := range beginnings {
		if i := bytes.Index(lower, []byte(b)); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	if first < 0 {
		return nil
	}
	return text[first:min(len(text), first+maxText)]
}

// tokenDigits are as many as a token string has.
const tokenDigits = 81

// longDigits is where so many digits begin that they can be a token string, with
// or without dashes between them; -1 where there are none.
func longDigits[T string | []byte](text T) int {
	start, digits := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			if digits++; digits == tokenDigits {
				return start
			}
		case c != '-' || digits == 0:
			start, digits = i+1, 0
		}
	}
	return -1
}

func (s *Source) add(e envelope, err error) error {
	s.envelopes = append(s.envelopes, e)
	return err
}

var (
	// appLink is a link of any form but the bare URL, which mails are full of.
	appLink = regexp.MustCompile(`(?i)((com\.rsa\.securid|securidauthenticator)://ctkip/?|http://(127\.0\.0\.1|localhost)/securid/(ctkip|ctf)/?)\?[^\s<>"]+`)

	// softBreaks are the line breaks that quoted-printable mail adds, in which a link reads as quotedLink.
	softBreaks = strings.NewReplacer("=\r\n", "", "=\n", "")
	quotedLink = regexp.MustCompile(`\?(?i:scheme|schema|url)=3D`)

	// entities are whole ones of HTML: many a parameter begins like one, such as "&region".
	entities = regexp.MustCompile(`&#?\w+;`)
)

// findLink takes a provisioning link out of the mail that it came in, plain or HTML, or out of the angle brackets that mail programs put around it.
func findLink(text string) string {
	if unbroken := softBreaks.Replace(text); quotedLink.MatchString(unbroken) {
		text = strings.ReplaceAll(unbroken, "=3D", "=")
	}
	if link := appLink.FindString(text); link != "" {
		return strings.TrimRight(entities.ReplaceAllStringFunc(link, html.UnescapeString), `.,;:!?)]>'"`)
	}
	return strings.Trim(text, "<>")
}

// parseLink reads a provisioning link.
func parseLink(text string) (ctkip.Link, error) {
	// Mail programs have been reported to carry the loop-back form under the path
	// of compressed strings (spec/ct-kip.md section 6.3).
	text = strings.Replace(text, "://127.0.0.1/securid/ctf?", "://127.0.0.1/securid/ctkip?", 1)
	link, err := ctkip.ParseLink(text)
	switch {
	case errors.Is(err, ctkip.ErrInsecure):
		return link, fault.New(fault.ServerUntrusted, "it leads to a server without TLS, which would give the activation code to everybody on the way: ask for an https link")
	case err != nil:
		return link, fault.New(fault.BadFormat, "this is neither a token string nor a provisioning link that can be used")
	}
	return link, nil
}

// Link is the provisioning link that the source is, if it is one: it has no
// tokens yet, see [App.Provision].
func (s *Source) Link() (ctkip.Link, bool) {
	if s.link == nil {
		return ctkip.Link{}, false
	}
	return *s.link, true
}

// Open checks the whole source and gives its tokens, or none.
//
// PASSWORD_REQUIRED and DEVICE_ID_REQUIRED say what is missing in a,
// WRONG_PASSWORD and WRONG_DEVICE what is not right; CHECKSUM_FAILED and
// MODIFIED are for damage, UNSUPPORTED_ALGORITHM for 64-bit tokens.
func (s *Source) Open(a Access) ([]Token, error) {
	tokens, err := s.open(a, envelope.open)
	if err != nil || a.Own == "" {
		return tokens, err
	}
	for _, t := range tokens {
		if err := a.admits(t); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// Token opens the source and gives the token of that serial number, or without
// one the only token that there is; UNKNOWN_TOKEN is for neither.
func (s *Source) Token(a Access, serial string) (Token, error) {
	tokens, err := s.Open(a)
	if err != nil {
		return Token{}, err
	}
	if serial == "" && len(tokens) > 1 {
		return Token{}, fault.New(fault.UnknownToken, "%s holds %d tokens: choose one with --serial", s.name, len(tokens))
	}
	i := slices.IndexFunc(tokens, func(t Token) bool { return serial == "" || t.Serial == padSerial(serial) })
	if i < 0 {
		return Token{}, fault.New(fault.UnknownToken, "%s holds no token with the serial number %s", s.name, serial)
	}
	return tokens[i], a.admits(tokens[i])
}

// Inspect gives the tokens as far as they can be read with what is in a. Where
// a password or device ID is missing these are the public parts, which nobody
// vouches for, if the format has any. What is in a must be right, as in Open;
// the device ID must be that of one token at least.
func (s *Source) Inspect(a Access) ([]Token, error) {
	tokens, err := s.open(a, func(e envelope, a Access) ([]Token, error) {
		tokens, err := e.open(a)
		if code := fault.CodeOf(err); code == fault.PasswordRequired || code == fault.DeviceIDRequired {
			if public, readable := e.outline(); readable {
				return public, nil
			}
		}
		return tokens, err
	})
	for _, t := range tokens {
		if err = a.admits(t); err == nil {
			return tokens, nil
		}
	}
	return nil, err
}

// open gives what read gives for every envelope, or nothing.
func (s *Source) open(a Access, read func(envelope, Access) ([]Token, error)) ([]Token, error) {
	var all []Token
	for _, e := range s.envelopes {
		tokens, err := read(e, a)
		if err != nil {
			return nil, fault.Wrap(err, "%s", s.name)
		}
		all = append(all, tokens...)
	}
	return all, nil
}
