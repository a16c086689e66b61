package tokenapp

import (
	"slices"
	"time"

	"github.com/tallystick/tallystick/ctkip"
	"github.com/tallystick/tallystick/internal/seed"
)

// A begun exchange is one whose last request may have reached the server, and
// all that it takes to repeat that request and to read the answer. It is in the
// database from before it is sent until the token is, or the server has refused,
// or something else is changed when the server would not repeat its answer any
// more by the clock, which may have been set meanwhile.
type begun struct {
	from    string // origin of the link and code
	until   time.Time
	hello   []byte    // the server's answer to the first request
	nonce   seed.Seed // R_C, which is as secret as the seed made of it
	request ctkip.Request
}

// begunRecord is a begun exchange as it is encrypted.
type begunRecord struct {
	From   string            `json:"from"`
	Until  time.Time         `json:"until"`
	Hello  []byte            `json:"hello"`
	Nonce  []byte            `json:"nonce"`
	Header map[string]string `json:"header"`
	Body   []byte            `json:"body"`
}

func (b begun) record() begunRecord {
	return begunRecord{b.from, b.until, b.hello, b.nonce.Reveal(), b.request.Header, b.request.Body}
}

func (r begunRecord) begun() begun {
	return begun{r.From, r.Until, r.Hello, seed.New(r.Nonce), ctkip.Request{Header: r.Header, Body: r.Body}}
}

// A journal keeps the begun exchange of one link and code in an app's database, so that neither a
// crash nor a user who gives up loses what the server has committed to.
type journal struct {
	app  *App
	from string
}

// last is the exchange that was begun. The server says whether it can still be finished.
func (j journal) last() (b begun, ok bool, err error) {
	db, err := j.app.read()
	if err != nil {
		return begun{}, false, err
	}
	i := slices.IndexFunc(db.begun, func(b begun) bool { return b.from == j.from })
	if i < 0 {
		return begun{}, false, nil
	}
	return db.begun[i], true, nil
}

// begin keeps one, before its last request is sent.
func (j journal) begin(b begun) error {
	b.from = j.from
	return j.app.change(func(db *database) error {
		db.end(j.from)
		db.begun = append(db.begun, b)
		return nil
	})
}

// end forgets it. It may fail: an exchange is over soon, and then goes with the next change.
func (j journal) end() {
	_ = j.app.change(func(db *database) error {
		db.end(j.from)
		return nil
	})
}

func (db *database) end(from string) {
	db.begun = slices.DeleteFunc(db.begun, func(b begun) bool { return b.from == from })
}

// dropOver forgets the exchanges that no server finishes any more by the clock,
// but not the one that is just being repeated.
func (db *database) dropOver(now time.Time, repeated string) {
	db.begun = slices.DeleteFunc(db.begun, func(b begun) bool { return b.from != repeated && !now.Before(b.until) })
}
