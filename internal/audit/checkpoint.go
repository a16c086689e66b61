package audit

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tallystick/tallystick/internal/fault"
)

// GenerateKey makes the key pair of a log (Ed25519) in the text forms of
// package note. The origin names the log in every checkpoint, such as
// "tallystick.example.com/audit"; it holds no space and no plus sign. The
// caller keeps skey secret; vkey is for everyone who verifies.
func GenerateKey(origin string) (skey, vkey string, err error) {
	skey, vkey, err = note.GenerateKey(rand.Reader, origin)
	if err != nil {
		return "", "", err
	}
	if _, err := note.NewVerifier(vkey); err != nil {
		return "", "", fault.New(fault.Invalid, "%q cannot name an audit log: leave out spaces and plus signs", origin)
	}
	return skey, vkey, nil
}

// A Head is what a checkpoint says: the number of events, the root of their
// tree, and when it was signed (zero if it does not tell).
type Head struct {
	tlog.Tree
	At time.Time
}

const timeLine = "time " // extension line of our checkpoints: when it was signed

// text is the body of the signed note (C2SP tlog-checkpoint).
func (h Head) text(origin string) string {
	return fmt.Sprintf("%s\n%d\n%s\n%s%s\n", origin, h.N, h.Hash, timeLine, h.At.UTC().Format(time.RFC3339Nano))
}

// parseHead reads the body of a note, whoever signed it.
func parseHead(text string) (origin string, h Head, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 {
		return "", Head{}, fault.New(fault.Invalid, "a checkpoint has at least three lines")
	}
	h.N, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || h.N < 0 || strconv.FormatInt(h.N, 10) != lines[1] {
		return "", Head{}, fault.New(fault.Invalid, "the size in a checkpoint is not a number")
	}
	if h.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		return "", Head{}, fault.New(fault.Invalid, "the root in a checkpoint is not a hash")
	}
	for _, line := range lines[3:] {
		if at, ok := strings.CutPrefix(line, timeLine); ok {
			if h.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
				return "", Head{}, fault.New(fault.Invalid, "the time in a checkpoint is not one")
			}
		}
	}
	return lines[0], h, nil
}

// sign makes the checkpoint of a head; the origin is the name of the key.
func sign(h Head, key note.Signer) (Checkpoint, error) {
	signed, err := note.Sign(&note.Note{Text: h.text(key.Name())}, key)
	return Checkpoint{Size: h.N, At: h.At, Signed: signed}, err
}

// Open verifies the signature and returns what was signed. It refuses with
// [fault.AuditTampered] what this log has not signed, and a Size that is not
// the signed one.
func (c Checkpoint) Open(key note.Verifier) (Head, error) {
	n, err := note.Open(c.Signed, note.VerifierList(key))
	if err != nil {
		return Head{}, fault.New(fault.AuditTampered, "the checkpoint of size %d is not signed by this log: %v", c.Size, err)
	}
	origin, h, err := parseHead(n.Text)
	if err != nil {
		return Head{}, fault.Wrap(err, "checkpoint of size %d", c.Size)
	}
	if origin != key.Name() {
		return Head{}, fault.New(fault.AuditTampered, "the checkpoint of size %d is one of another log: %q", c.Size, origin)
	}
	if h.N != c.Size {
		return Head{}, fault.New(fault.AuditTampered, "the checkpoint kept as one of size %d was signed for size %d", c.Size, h.N)
	}
	return h, nil
}
