package sdtid

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // the format's signature, which protects nothing: section 7
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Batch is what Encode writes into one file.
type Batch struct {
	// Issuer, recipient and name of the batch, written without surrounding
	// blanks; "" is written as N/A. Key material: at most 32, 32 and 16 bytes.
	Origin, Dest, Name string

	// At least one, each with a Serial of 12 digits that is unique here, a
	// Seed of 16 bytes, an Expiry between 2000-01-02 and 2179-06-06, 6 or 8
	// Digits and an Interval of 30 or 60. A zero Birth is written as
	// 2000-01-01. Programs other than ours take one token per file.
	Tokens []Token

	// Password locks the file; at most 32 bytes. Empty: the file is open to
	// whoever holds it.
	Password string `json:"-"`

	// Signer is the issuer's RSA key for the signature in the trailer, and
	// Certificate its certificate in DER. Without them placeholders are
	// written. Of all readers only RSA's TokenConverter is reported to check
	// the signature, against a key that is not ours.
	Signer      crypto.Signer
	Certificate []byte

	// Rand is where the Secret of the file comes from; nil is crypto/rand.
	Rand io.Reader
}

// Format prints how many tokens there are, never the password.
func (b Batch) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "batch of %d tokens", len(b.Tokens)) }

// MaxBatch is the largest file that [Encode] makes, in memory: some 150,000 tokens.
const MaxBatch = 96 << 20 // bytes

// Encode writes a token file (section 10). The header has the settings of the
// first token; other tokens override what is different with them. The same
// batch and the same random bytes give the same file.
//
// Errors: ErrInvalid for a batch that the format cannot carry or that readers
// would disagree on, ErrTooLarge, and those of Rand and Signer.
func Encode(b Batch) ([]byte, error) {
	b.Origin, b.Dest, b.Name = orUnknown(b.Origin), orUnknown(b.Dest), orUnknown(b.Name)
	if err := b.check(); err != nil {
		return nil, err
	}
	source := b.Rand
	if source == nil {
		source = rand.Reader
	}
	keys := batch{origin: b.Origin, dest: b.Dest, name: b.Name}
	if _, err := io.ReadFull(source, keys.secret[:]); err != nil {
		return nil, fmt.Errorf("sdtid: making the secret: %w", err)
	}
	password := b.Password
	if password == "" {
		password = b.Origin
	}
	key := keys.key(password)

	header := b.header(keys.secret)
	if err := seal(&header, "TKNHeader", "HeaderMAC", func(text []byte) block {
		return headerMAC(key, b.Name, text)
	}); err != nil {
		return nil, err
	}
	tokens := make([]element, len(b.Tokens))
	for i := range b.Tokens {
		t := &b.Tokens[i]
		tokens[i] = t.element(key, t.overrides(&b.Tokens[0]))
		if err := seal(&tokens[i], "TKN", "TokenMAC", func(text []byte) block {
			return tokenMAC(key, t.Serial, text)
		}); err != nil {
			return nil, fmt.Errorf("%w: token %s", err, t.Serial)
		}
	}
	trailer, err := b.trailer(&header, tokens)
	if err != nil {
		return nil, err
	}
	file := render(header, tokens, trailer)
	if len(file) > MaxBatch {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(file), MaxBatch)
	}
	return file, nil
}

// Split gives each token as a file of its own, with its serial. The files keep
// the header, and with it the password; their MACs hold, the signature over
// the whole batch does not and is left out (section 10).
func (f *File) Split() iter.Seq2[string, []byte] {
	trailer := trailerElement(blank, blank)
	return func(yield func(string, []byte) bool) {
		for i := range f.tokens {
			t := &f.tokens[i]
			if !yield(t.Serial, render(f.header, []element{t.body}, trailer)) {
				return
			}
		}
	}
}

// check refuses what the format cannot say, and what its readers cut or
// understand in different ways (sections 2 and 4).
func (b *Batch) check() error {
	for _, field := range []struct {
		name, text string
		limit      int
	}{
		{"Origin", b.Origin, 32}, {"Dest", b.Dest, 32}, {"Name", b.Name, 16}, {"Password", b.Password, 32},
	} {
		if len(field.text) > field.limit {
			return invalid("%s has more than %d bytes", field.name, field.limit)
		}
		if !writable(field.text) {
			return invalid("%s is not UTF-8 without control characters", field.name)
		}
	}
	if b.Password == b.Origin {
		return invalid("Password is the text of Origin, with which anybody can open the file")
	}
	if len(b.Tokens) == 0 {
		return invalid("no token")
	}
	seen := make(map[string]bool, len(b.Tokens))
	for i := range b.Tokens {
		t := &b.Tokens[i]
		if err := t.check(); err != nil {
			return fmt.Errorf("%w (token %d of %d)", err, i+1, len(b.Tokens))
		}
		if seen[t.Serial] {
			return invalid("two tokens %s", t.Serial)
		}
		seen[t.Serial] = true
	}
	if b.Signer != nil {
		if _, ok := b.Signer.Public().(*rsa.PublicKey); !ok {
			return invalid("Signer is not an RSA key")
		}
	}
	return nil
}

func (t *Token) check() error {
	switch days := t.Expiry.Sub(day0) / day; {
	case len(t.Serial) != 12 || strings.Trim(t.Serial, "0123456789") != "":
		return invalid("Serial is not 12 digits")
	case len(t.Seed) != len(block{}):
		return invalid("Seed is not 16 bytes")
	case days < 1 || days > lastDay:
		return invalid("Expiry is not between 2000-01-02 and 2179-06-06")
	case t.Birth.UTC().Year() > 9999 || t.Birth.Before(time.Time{}):
		return invalid("Birth is not between the years 1 and 9999")
	case t.Digits != 6 && t.Digits != 8:
		return invalid("Digits is not 6 or 8")
	case t.Interval != 30 && t.Interval != 60:
		return invalid("Interval is not 30 or 60")
	}
	for _, text := range []string{t.DeviceSerialNumber, t.Nickname, t.FirstName, t.LastName, t.Login} {
		if !writable(text) {
			return invalid("a text is not UTF-8 without control characters")
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// writable tells whether s is UTF-8 in the characters of XML 1.0.
func writable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
	}) < 0
}

// blank is written where there is no text: an empty element is legal, but
// hashed in an odd form.
const blank = " "

func orBlank(s string) string {
	if s == "" {
		return blank
	}
	return s
}

func orUnknown(s string) string {
	if s = trim(s); s == "" {
		return unknown
	}
	return s
}

func leaf(name, text string) element { return element{name: name, text: []byte(text)} }

// header lists the fields of section 2.1 but the MAC. What is not ours to say
// has the value that stoken writes.
func (b *Batch) header(secret block) element {
	first, last := &b.Tokens[0], &b.Tokens[len(b.Tokens)-1]
	return element{name: "TKNHeader", children: []element{
		leaf("Version", "0"),
		leaf("Origin", b.Origin),
		leaf("Dest", b.Dest),
		leaf("Name", b.Name),
		leaf("FirstToken", first.Serial),
		leaf("LastToken", last.Serial),
		leaf("NumTokens", strconv.Itoa(len(b.Tokens))),
		leaf("Secret", base64.StdEncoding.EncodeToString(secret[:])),
		leaf("DefBirth", first.birth()),
		leaf("DefDeath", date(first.Expiry)),
		leaf("DefDigits", strconv.Itoa(first.Digits)),
		leaf("DefInterval", strconv.Itoa(first.Interval)),
		leaf("DefAlg", "1"),
		leaf("DefMode", "0"),
		leaf("DefPrecision", "2400"),
		leaf("DefSmallWin", "630"),
		leaf("DefMediumWin", "4320"),
		leaf("DefLargeWin", "4320"),
		leaf("DefAddPIN", flag(first.AddPIN)),
		leaf("DefLocalPIN", flag(first.LocalPIN)),
		leaf("DefCopyProtection", "1"),
		leaf("DefPinType", "0"),
		leaf("DefKeypad", "1"),
		leaf("DefProtLevel", "0"),
		leaf("DefRevision", "0"),
		leaf("DefTimeDerivedSeeds", "1"),
		leaf("DefAppDerivedSeeds", "0"),
		leaf("DefFormFactor", "20000001"),
	}}
}

// overrides lists what is different from the first token of the batch, which
// gave the header its defaults (section 2.2).
func (t *Token) overrides(first *Token) (fields []element) {
	for _, field := range []struct{ name, text, inherited string }{
		{"Birth", t.birth(), first.birth()},
		{"Death", date(t.Expiry), date(first.Expiry)},
		{"Digits", strconv.Itoa(t.Digits), strconv.Itoa(first.Digits)},
		{"Interval", strconv.Itoa(t.Interval), strconv.Itoa(first.Interval)},
		{"AddPIN", flag(t.AddPIN), flag(first.AddPIN)},
		{"LocalPIN", flag(t.LocalPIN), flag(first.LocalPIN)},
	} {
		if field.text != field.inherited {
			fields = append(fields, leaf(field.name, field.text))
		}
	}
	return fields
}

// element lists the fields of section 2.2 but the MAC.
func (t *Token) element(key cipher.Block, overrides []element) element {
	seed := cryptSeed(key, t.Serial, block(t.Seed))
	fields := append([]element{
		leaf("SN", t.Serial),
		leaf("Seed", "="+base64.StdEncoding.EncodeToString(seed[:])),
		leaf("UserFirstName", orBlank(t.FirstName)),
		leaf("UserLastName", orBlank(t.LastName)),
		leaf("UserLogin", orBlank(t.Login)),
	}, overrides...)
	return element{name: "TKN", children: append(fields, element{name: "TokenAttributes", children: []element{
		leaf("DeviceSerialNumber", orBlank(t.DeviceSerialNumber)),
		leaf("Nickname", orBlank(t.Nickname)),
	}})}
}

// seal appends the MAC to a section.
func seal(e *element, section, name string, mac func(text []byte) block) error {
	text, err := canonical(nil, section, e)
	if err != nil {
		return err
	}
	sum := mac(text)
	e.children = append(e.children, leaf(name, base64.StdEncoding.EncodeToString(sum[:])))
	return nil
}

// trailer signs the batch.
func (b *Batch) trailer(header *element, tokens []element) (element, error) {
	signature, certificate := blank, blank
	if b.Signer != nil {
		text := signedText(nil, "TKNHeader", header)
		for i := range tokens {
			text = signedText(text, "TKN", &tokens[i])
		}
		digest := sha1.Sum(text)
		sig, err := b.Signer.Sign(rand.Reader, digest[:], crypto.SHA1)
		if err != nil {
			return element{}, fmt.Errorf("sdtid: signing: %w", err)
		}
		signature = base64.StdEncoding.EncodeToString(sig)
	}
	if len(b.Certificate) > 0 {
		certificate = base64.StdEncoding.EncodeToString(b.Certificate)
	}
	return trailerElement(signature, certificate), nil
}

func trailerElement(signature, certificate string) element {
	return element{name: "TKNTrailer", children: []element{
		leaf("BatchSignature", signature), leaf("BatchCertificate", certificate),
	}}
}

// render writes the document. Line breaks and indentation between elements
// mean nothing; the text of a leaf is written so that it reads back as it is.
func render(header element, tokens []element, trailer element) []byte {
	var out bytes.Buffer
	out.WriteString("<?xml version=\"1.0\"?>\n<TKNBatch>\n")
	header.render(&out, "  ")
	for i := range tokens {
		tokens[i].render(&out, "  ")
	}
	trailer.render(&out, "  ")
	out.WriteString("</TKNBatch>\n")
	return out.Bytes()
}

func (e *element) render(out *bytes.Buffer, indent string) {
	out.WriteString(indent + "<" + e.name + ">")
	if len(e.children) > 0 {
		out.WriteByte('\n')
		for i := range e.children {
			e.children[i].render(out, indent+"  ")
		}
		out.WriteString(indent)
	} else {
		xml.EscapeText(out, e.text) // a Buffer takes all
	}
	out.WriteString("</" + e.name + ">\n")
}

func date(t time.Time) string { return t.UTC().Format("2006/01/02") }

// birth is the first day of the format where the token has none: not every
// program reads a file without the date.
func (t *Token) birth() string {
	if t.Birth.IsZero() {
		return date(day0)
	}
	return date(t.Birth)
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}
