// Package tokenapp is the token app without a face: it opens what a user was
// given, keeps the tokens in an encrypted database, and shows their codes
// (spec/software-token-lifecycle.md section 9, spec/cli.md).
//
//	source, err := tokenapp.ReadSource("alice.sdtid", os.Stdin) // still locked
//	tokens, err := source.Open(tokenapp.Access{Password: "..."}) // the seeds
//	app := tokenapp.App{Dir: dir, Keys: keys}
//	added, err := app.Import(tokens, tokenapp.ImportOptions{})
//	code, err := added[0].Code(time.Now(), "")
//
// A [Source] is a token file, a compressed token string, a picture or an
// archive that holds one, or a provisioning link, which [App.Provision] trades
// for a token over HTTPS.
//
// The database is one file in App.Dir, encrypted and authenticated under a key
// that the platform's keyring keeps, or a passphrase gives, or a key file
// holds ([Keys]). Each change is a new file renamed over the old one, made by
// one process at a time, so that a crash leaves the old state or the new one.
// The device ID lies beside it in the clear: people read it to an
// administrator before they have any token.
//
// What the input or the state does not allow is a [fault.Error] with a code of
// spec/cli.md. No seed leaves the package: a [Token] holds it as a [seed.Seed],
// and the only line that writes it anywhere is the one that encrypts it.
package tokenapp

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tallystick/tallystick/internal/fault"
)

const (
	// DefaultLimit is how many tokens a database holds unless told otherwise.
	DefaultLimit = 50
	// MaxNickname is the longest nickname in characters; other apps take no more.
	MaxNickname = 24
)

// An App works on the token database of one directory. Its methods read the
// database anew each time, so that several processes can share it; an App
// itself is for one goroutine.
type App struct {
	Dir   string           // holds the database, the device ID and the lock file; made on the first change
	Keys  Keys             // where the key of the database comes from
	Limit int              // most tokens held; zero is DefaultLimit
	Now   func() time.Time // nil is time.Now

	unlocked unlocked // so that a passphrase is asked for and hashed once
	fetching string   // origin of the link and code that Provision is at work on
}

func (a *App) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

func (a *App) limit() int { return cmp.Or(a.Limit, DefaultLimit) }

// Tokens are all tokens held, in the user's order. Without a database there
// are none, and none is made.
func (a *App) Tokens() ([]Token, error) {
	db, err := a.read()
	return db.tokens, err
}

// Find is the token of that serial number or nickname. A nickname that two
// tokens have finds neither.
func (a *App) Find(name string) (Token, error) {
	db, err := a.read()
	if err != nil {
		return Token{}, err
	}
	i, err := db.find(name)
	if err != nil {
		return Token{}, err
	}
	return db.tokens[i], nil
}

// find is the index of the token of that serial number, with or without
// leading zeros, or nickname.
func (db *database) find(name string) (int, error) {
	if i := db.serial(padSerial(name)); i >= 0 {
		return i, nil
	}
	found := -1
	for i, t := range db.tokens {
		switch {
		case name == "" || !strings.EqualFold(t.Nickname, name):
		case found >= 0:
			return 0, fault.New(fault.UnknownToken, "several tokens are called %q: name one by its serial number", name)
		default:
			found = i
		}
	}
	if found < 0 && (utf8.RuneCountInString(name) > MaxNickname || looksLikeToken(name)) { // it may hold a seed, and is not repeated
		return 0, fault.New(fault.UnknownToken, "no token has this serial number or nickname; a token string, link or file that is not held goes with 'tally code --from'")
	}
	if found < 0 {
		return 0, fault.New(fault.UnknownToken, "no token has the serial number or nickname %q", name)
	}
	return found, nil
}

func (db *database) serial(serial string) int {
	return slices.IndexFunc(db.tokens, func(t Token) bool { return t.Serial == serial })
}

// padSerial restores the leading zeros that people leave out.
func padSerial(s string) string {
	if s == "" || len(s) > 12 || strings.Trim(s, "0123456789") != "" {
		return s
	}
	return strings.Repeat("0", 12-len(s)) + s
}

// ImportOptions say how tokens enter the database.
type ImportOptions struct {
	Nickname string // instead of the token's own; for a single token only
	Replace  bool   // a held token of the same serial number gets the new seed and settings

	fetched bool // from a server just now, so that one that waits is older
}

// Import adds the tokens, all of them or none, and returns them as they are
// now held.
//
// It refuses an expired token (EXPIRED), a serial number that is held, unless
// o.Replace says to swap its seed in place, and a seed that is held
// (DUPLICATE_SERIAL), and more tokens than the limit (STORE_FULL). A replaced
// token keeps its nickname and its place. The seed of a token that waits, see
// [App.Waiting], is nowhere else, and no import drops it: where the serial
// number is not held, another seed for it is refused (DUPLICATE_SERIAL).
func (a *App) Import(tokens []Token, o ImportOptions) ([]Token, error) {
	if err := checkNickname(o.Nickname); err != nil {
		return nil, err
	}
	if o.Nickname != "" && len(tokens) != 1 {
		return nil, fault.New(fault.NicknameInvalid, "a nickname is for one token, and here are %d: import them without one and rename them", len(tokens))
	}
	var added []Token
	err := a.change(func(db *database) error {
		added = added[:0]
		for _, t := range tokens {
			t.Nickname = cmp.Or(o.Nickname, t.Nickname)
			t, err := db.add(t, o, a.now(), a.limit())
			if err != nil {
				return err
			}
			added = append(added, t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return added, nil
}

// add puts one token into the database, or into the place of the one it
// replaces.
func (db *database) add(t Token, o ImportOptions, now time.Time, limit int) (Token, error) {
	if t.Expired(now) {
		return t, fault.New(fault.Expired, "token %s expired after %s: ask for a new one", t.Serial, day(t.Expiry))
	}
	for _, held := range db.tokens {
		if held.Seed.Equal(t.Seed) {
			return t, fault.New(fault.DuplicateSerial, "token %s is here already, with this very seed: nothing to import", held.Serial)
		}
	}
	waits, other := db.waits(t.Serial)
	other = other && !o.fetched && !waits.Seed.Equal(t.Seed)
	i := db.serial(t.Serial)
	switch {
	case i < 0 && other:
		return t, fault.New(fault.DuplicateSerial, "a seed for token %[1]s that was fetched from a server waits here, and may be newer than this one: "+
			"repeat its import to take it, or be rid of it with 'tally delete %[1]s' and repeat this import", t.Serial)
	case i < 0 && len(db.tokens) >= limit:
		return t, fault.New(fault.StoreFull, "%d tokens are held, which is the limit: delete one first", len(db.tokens))
	case i < 0:
		db.tokens = append(db.tokens, t)
	case !o.Replace:
		return t, fault.New(fault.DuplicateSerial, "token %s is here already: delete it first, or import with --replace to give it the new seed", t.Serial).With("replace", true)
	default:
		t.Nickname = cmp.Or(o.Nickname, db.tokens[i].Nickname, t.Nickname)
		db.tokens[i] = t
	}
	if !other {
		db.forget(t.Serial)
	}
	return t, nil
}

// Rename gives the token another nickname, and returns it.
func (a *App) Rename(name, nickname string) (Token, error) {
	if err := checkNickname(nickname); err != nil {
		return Token{}, err
	}
	var t Token
	err := a.change(func(db *database) error {
		i, err := db.find(name)
		if err != nil {
			return err
		}
		db.tokens[i].Nickname = nickname
		t = db.tokens[i]
		return nil
	})
	return t, err
}

// Move moves the token by so many places towards the end of the list, or
// towards its start if places is negative; it stops at either.
func (a *App) Move(name string, places int) error {
	return a.change(func(db *database) error {
		i, err := db.find(name)
		if err != nil {
			return err
		}
		t := db.tokens[i]
		to := min(max(i+places, 0), len(db.tokens)-1)
		db.tokens = slices.Insert(slices.Delete(db.tokens, i, i+1), to, t)
		return nil
	})
}

// Meant is the token that goes under a name when it is to be deleted: one that is held, or, of a serial number that is not held, the one that waits, see
// [App.Waiting].
func (a *App) Meant(name string) (t Token, waits bool, err error) {
	db, err := a.read()
	if err != nil {
		return Token{}, false, err
	}
	i, err := db.find(name)
	if err == nil {
		return db.tokens[i], false, nil
	}
	if t, waits = db.waits(padSerial(name)); waits {
		return t, true, nil
	}
	return Token{}, false, err
}

// Delete removes a token that [App.Meant] returned, or that is held. It refuses one that another process has deleted meanwhile, or given another seed
// (UNKNOWN_TOKEN): whoever was asked about the one has not said that the other may go.
func (a *App) Delete(t Token) error {
	return a.change(func(db *database) error {
		i := db.serial(t.Serial)
		if i >= 0 && db.tokens[i].Seed.Equal(t.Seed) {
			db.tokens = slices.Delete(db.tokens, i, i+1)
			return nil
		}
		if waits, ok := db.waits(t.Serial); ok && i < 0 && waits.Seed.Equal(t.Seed) {
			db.forget(t.Serial)
			return nil
		}
		return fault.New(fault.UnknownToken, "token %s was deleted or given a new seed by another command meanwhile, so nothing was done", t.Serial)
	})
}

// checkNickname accepts up to MaxNickname printable characters, and none.
func checkNickname(s string) error {
	if s != cleanText(s, MaxNickname) || !utf8.ValidString(s) {
		return fault.New(fault.NicknameInvalid, "a nickname has up to %d printable characters, without blanks around it", MaxNickname)
	}
	return nil
}

// cleanText makes text from outside safe to show: up to so many characters,
// none of which a terminal obeys, without blanks around it.
func cleanText(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if r := []rune(strings.TrimSpace(s)); len(r) > most {
		return strings.TrimSpace(string(r[:most]))
	}
	return strings.TrimSpace(s)
}

// Replaceable tells whether err is a refusal that ImportOptions.Replace
// overcomes: of a serial number that is held (DUPLICATE_SERIAL), or of a link
// that may lead to one, where there is no room for another (STORE_FULL).
func Replaceable(err error) bool {
	var refusal *fault.Error
	return errors.As(err, &refusal) && refusal.Details["replace"] == true
}
