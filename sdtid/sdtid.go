// Package sdtid reads and writes .sdtid token files: XML documents that carry
// a batch of software tokens with their seeds encrypted
// (spec/sdtid.md; section numbers below are of that text).
//
//	file, err := sdtid.Parse(data)            // the file as it is, still locked
//	tokens, err := file.Open("correct horse") // the seeds, once every MAC is right
//	data, err = sdtid.Encode(sdtid.Batch{Tokens: tokens, Password: "battery staple"})
//
// [Parse] takes one token or thousands, reads what needs no password
// ([File.Outline]) and finds out whether there is one ([File.Locked]).
// [File.Open] gives every token of the file or none. [File.Split] cuts a batch
// into the files of one token that phones and desktop apps expect, and needs
// neither password nor keys for it. What [Encode] writes is tested against
// stoken, and follows what is reported of RSA's apps.
//
// A file without a password is only obfuscated: the text Origin in its header
// stands in for the password. A password is worth little more: its key costs
// about a thousand AES operations to try (section 4). The MACs show damage and
// a wrong password; they do not tell who made the file.
//
// Known by file: parse.go finds the tokens in the XML, mac.go produces the text
// that the MACs cover, key.go derives keys, write.go encodes.
package sdtid

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Why a file is refused. Errors of this package wrap one of these and add what
// was wrong where; no text holds a password, a seed or an encrypted seed.
var (
	ErrFormat           = errors.New("sdtid: not a well-formed token file")
	ErrTooLarge         = errors.New("sdtid: larger than a token file can be")
	ErrAlgorithm        = errors.New("sdtid: not a 128-bit AES token")
	ErrPasswordRequired = errors.New("sdtid: the file is locked with a password")
	ErrWrongPassword    = errors.New("sdtid: wrong password")
	ErrModified         = errors.New("sdtid: the file was changed after it was made")
	ErrInvalid          = errors.New("sdtid: the batch cannot be written") // from Encode only
)

// A Token is one token of a file. Formatting or marshalling it leaves the Seed
// out.
type Token struct {
	Serial string // 12 decimal digits
	Seed   []byte `json:"-"` // 16 bytes; nil in an outline

	Birth  time.Time // first valid day, 00:00 UTC; zero if the file does not say
	Expiry time.Time // last valid day, 00:00 UTC

	Digits   int  // length of the code
	Interval int  // seconds per code, 30 or 60
	AddPIN   bool // PINPad: the PIN is added to the code inside the app
	LocalPIN bool // has no effect in the programs we know

	// Figures that no program is known to use. Encode does not look at them
	// and writes what every time-based token carries: true, false, false.
	TimeDerived, AppDerived, Mode bool

	// DeviceSerialNumber is what the token is bound to: the class GUID of a
	// platform or the ID of one device, verbatim. It is no key material; apps
	// compare it (section 8).
	DeviceSerialNumber string

	// Free text. Blank text in a file reads as "".
	Nickname, FirstName, LastName, Login string
}

// Format prints the serial and nothing else, for every verb of package fmt.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, "token "+t.Serial) }

// A File is a parsed token file. Its methods may be called from several
// goroutines at once.
type File struct {
	header element
	batch  batch
	tokens []record

	// What the MACs say with Origin as the password: nil, ErrModified, or
	// ErrPasswordRequired. plain is the batch key K1 that belongs to it.
	plain    cipher.Block
	plainErr error
}

// A record is a TKN element, read.
type record struct {
	Token            // without Seed
	name      string // SN as key material: trimmed, not padded
	encrypted block  // the seed
	mac       block
	aes128    bool
	body      element
}

// Format prints how many tokens there are: the seeds of a file without
// password are as good as in the clear.
func (f *File) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "token file (%d tokens)", len(f.tokens))
}

// Origin is the issuer named in the header, "" where it says nothing (N/A).
func (f *File) Origin() string {
	if f.batch.origin == unknown {
		return ""
	}
	return f.batch.origin
}

// Locked tells whether Open needs a password. The file does not say so; it is
// locked when Origin opens none of its MACs, which is also how a file looks
// whose Secret is damaged (section 9).
func (f *File) Locked() bool { return errors.Is(f.plainErr, ErrPasswordRequired) }

// Serials returns the serial numbers in the order of the file, 12 digits each.
func (f *File) Serials() []string {
	serials := make([]string, len(f.tokens))
	for i := range f.tokens {
		serials[i] = f.tokens[i].Serial
	}
	return serials
}

// Outline returns the tokens without their seeds: what anybody can read. Until
// Open has succeeded nothing of it is proven.
func (f *File) Outline() []Token {
	tokens := make([]Token, len(f.tokens))
	for i := range f.tokens {
		tokens[i] = f.tokens[i].Token
	}
	return tokens
}

// Open checks every MAC of the file and returns its tokens with their seeds,
// or no token at all. A file that is not locked opens with any password, since
// it needs none.
//
// Errors: ErrModified when some MACs are right and others are not; else
// ErrAlgorithm when there is a 64-bit token, whatever the password; else
// ErrPasswordRequired or ErrWrongPassword when no MAC is right.
func (f *File) Open(password string) ([]Token, error) {
	key, err := f.plain, f.plainErr
	if f.Locked() && password != "" {
		key = f.batch.key(password)
		if err = f.verify(key); errors.Is(err, ErrPasswordRequired) {
			err = ErrWrongPassword
		}
	}
	if errors.Is(err, ErrModified) {
		return nil, err
	}
	for i := range f.tokens {
		if t := &f.tokens[i]; !t.aes128 {
			return nil, fmt.Errorf("%w: token %s", ErrAlgorithm, t.Serial)
		}
	}
	if err != nil {
		return nil, err
	}
	tokens := f.Outline()
	for i := range f.tokens {
		seed := cryptSeed(key, f.tokens[i].name, f.tokens[i].encrypted)
		tokens[i].Seed = seed[:]
	}
	return tokens, nil
}

// verify checks all MACs under the batch key K1. None right: the password is
// not the right one, ErrPasswordRequired. All but some right: ErrModified.
func (f *File) verify(key cipher.Block) error {
	var right int
	var wrong string // the first one
	buf, err := canonical(nil, "TKNHeader", &f.header)
	if err != nil {
		return fmt.Errorf("%w: header", err)
	}
	if f.batch.mac.equal(headerMAC(key, f.batch.name, buf)) {
		right++
	} else {
		wrong = "header"
	}
	for i := range f.tokens {
		t := &f.tokens[i]
		if buf, err = canonical(buf[:0], "TKN", &t.body); err != nil {
			return fmt.Errorf("%w: token %s", err, t.Serial)
		}
		if t.mac.equal(tokenMAC(key, t.name, buf)) {
			right++
		} else if wrong == "" {
			wrong = "token " + t.Serial
		}
	}
	switch {
	case wrong == "":
		return nil
	case right == 0:
		return ErrPasswordRequired
	}
	return fmt.Errorf("%w: MAC of %s", ErrModified, wrong)
}

// unknown is what the header says where there is nothing to say.
const unknown = "N/A"

// space is the white space of ASCII, as C's isspace has it.
const space = " \t\n\v\f\r"

func trim(s string) string { return strings.Trim(s, space) }
