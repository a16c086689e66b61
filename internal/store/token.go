package store

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/token"
)

const tokenColumns columns = "serial, origin, birth, expiry, effective_expiry, user_id, assigned_at, assigned_by, enabled, " +
	"pin_hash, pin_length, pin_set_at, pending_until, last_number, tainted, distribution, profile, method, device_id, nickname, " +
	"distributed_at, confirmed_at, issue_count, created_at, version, search, pin_change, pin_history, pin_serial, " +
	"lost_at, emergency, replaces, replaced_by, issues_forgiven, extension_count, extended_by, hardware, pin_used, delivered_by, domain"

func tokenValues(t token.Token) []any {
	return []any{t.Serial, t.Origin, micros(t.Birth), micros(t.Expiry), micros(t.EffectiveExpiry), orNull(t.UserID), micros(t.AssignedAt), t.AssignedBy, t.Enabled,
		bytesOrNull(t.PIN.Hash), t.PIN.Length, micros(t.PIN.SetAt), micros(t.PendingUntil), t.LastNumber, t.Tainted, t.Distribution, orNull(t.Profile), t.Method, t.DeviceID, t.Nickname,
		micros(t.DistributedAt), micros(t.ConfirmedAt), t.IssueCount, micros(t.CreatedAt), t.Version, searchText(t.Serial, t.UserID, t.Nickname),
		t.PIN.MustChange, bytesOrNull(t.PIN.History), t.PIN.Serial, micros(t.LostAt), jsonOrNull[token.Emergency]{t.Emergency}, t.Replaces, t.ReplacedBy, t.IssuesForgiven, t.ExtensionCount, t.ExtendedBy, t.Hardware,
		t.Current.Settings.PINType != device.NoPIN, t.DeliveredBy, t.Domain}
}

const generationColumns columns = "serial, number, state, key_id, sealed, fingerprint, digits, interval_seconds, pin_type, made_at, delivered, " +
	"last_interval, clock_offset, bad_passcodes, last_used_at, last_agent, accepted, version, live"

func generationValues(t token.Token, g token.Generation, state string) []any {
	return []any{t.Serial, g.Number, state, g.Sealed.KeyID, g.Sealed.Blob, g.Fingerprint, g.Settings.Digits, g.Settings.Interval, g.Settings.PINType, micros(g.MadeAt), g.Delivered,
		g.LastInterval, g.Offset, g.BadPasscodes, micros(g.LastUsedAt), g.LastAgent, bytesOrNull([]byte(g.Accepted)), t.Version, live(t)}
}

// live tells whether codes of the token may be accepted.
func live(t token.Token) bool { return t.Enabled && t.UserID != "" }

// The states of a generation.
const (
	current = "current"
	pending = "pending"
)

// A tokenReader reads rows of tokens, each with one of its generations. There are fifty columns, and many rows: each is scanned into the same
// places, and taken out of them.
type tokenReader struct {
	token      token.Token
	generation token.Generation
	accepted   []byte
	state      string
	places     []any // where these are scanned into

	tokens  []token.Token // with their current generations, in the order of the rows
	pending map[string]*token.Generation
}

func newTokenReader(expected int) *tokenReader {
	x := &tokenReader{tokens: make([]token.Token, 0, expected)}
	t, g := &x.token, &x.generation
	x.places = []any{&t.Serial, &t.Origin, moment(&t.Birth), moment(&t.Expiry), moment(&t.EffectiveExpiry), orZero(&t.UserID), moment(&t.AssignedAt), &t.AssignedBy, &t.Enabled,
		&t.PIN.Hash, &t.PIN.Length, moment(&t.PIN.SetAt), moment(&t.PendingUntil), &t.LastNumber, &t.Tainted, &t.Distribution, orZero(&t.Profile), &t.Method, &t.DeviceID, &t.Nickname,
		moment(&t.DistributedAt), moment(&t.ConfirmedAt), &t.IssueCount, moment(&t.CreatedAt), &t.Version, &t.PIN.MustChange, &t.PIN.History, &t.PIN.Serial,
		moment(&t.LostAt), fromJSON(&t.Emergency), &t.Replaces, &t.ReplacedBy, &t.IssuesForgiven, &t.ExtensionCount, &t.ExtendedBy, &t.Hardware, &t.DeliveredBy, &t.Domain,
		&g.Number, &x.state, &g.Sealed.KeyID, &g.Sealed.Blob, &g.Fingerprint, &g.Settings.Digits, &g.Settings.Interval, &g.Settings.PINType, moment(&g.MadeAt), &g.Delivered,
		&g.LastInterval, &g.Offset, &g.BadPasscodes, moment(&g.LastUsedAt), &g.LastAgent, &x.accepted}
	return x
}

// look is a SELECT of tokenSelect.
func (x *tokenReader) look(query string, args []any) look { return look{query, args, x.read} }

func (x *tokenReader) read(r row) error {
	if err := r.Scan(x.places...); err != nil {
		return err
	}
	x.generation.Accepted = string(x.accepted)
	if x.state == current {
		x.tokens = append(x.tokens, x.token)
		x.tokens[len(x.tokens)-1].Current = x.generation
		return nil
	}
	if x.pending == nil {
		x.pending = map[string]*token.Generation{}
	}
	next := x.generation
	x.pending[x.token.Serial] = &next
	return nil
}

// all are the tokens that were read, with both their generations.
func (x *tokenReader) all() []token.Token {
	if len(x.pending) > 0 {
		for i := range x.tokens {
			x.tokens[i].Pending = x.pending[x.tokens[i].Serial]
		}
	}
	return x.tokens
}

// tokens reads the tokens that a clause of conditions, order and limit selects, with their generations, in one look.
func (db *DB) tokens(ctx context.Context, clause string, args ...any) ([]token.Token, error) {
	found := newTokenReader(1)
	if storable(args) {
		if err := db.look(ctx, found.look(tokenSelect[0]+clause+tokenSelect[1]+" ORDER BY t.serial", args)); err != nil {
			return nil, err
		}
	}
	all, scope := found.all(), domain.ScopeFrom(ctx)
	if scope.Limited() { // whoever asks for tokens by their serials
		all = slices.DeleteFunc(all, func(t token.Token) bool { return !scope.Covers(t.Domain) })
	}
	return all, nil
}

var tokenSelect = [2]string{
	"SELECT " + tokenColumns.without("search", "pin_used").of("t") + ", " + generationColumns.without("serial", "version", "live").of("g") + " FROM (SELECT * FROM token",
	") AS t JOIN token_generation AS g ON g.serial = t.serial",
}

// Token returns a token; [fault.TokenNotFound]. Within a transaction it is
// locked for change, with its generations: nobody else saves it or accepts a code of it.
func (db *DB) Token(ctx context.Context, serial string) (token.Token, error) {
	missing := domain.Outside(ctx, fault.New(fault.TokenNotFound, "there is no token %s", serial), "token %s", serial)
	if err := db.lockTokens(ctx, []string{serial}); err != nil {
		return token.Token{}, err
	}
	found, err := db.tokens(ctx, " WHERE serial = $1", serial)
	if err != nil {
		return token.Token{}, err
	}
	if len(found) == 0 {
		return token.Token{}, missing
	}
	return found[0], nil
}

// lockTokens locks tokens, whose serials are sorted, within a transaction: all records, of which whoever gives a token a new seed changes it first, and then
// all generations, since a group of sign-ins that holds a record may want any of these. That comes before they are read: a statement that had to wait for a
// lock would go on with what it saw before.
func (db *DB) lockTokens(ctx context.Context, serials []string) error {
	lock := db.locked(ctx)
	if serials = possible(serials); lock == "" || len(serials) == 0 {
		return nil
	}
	var looks []look
	for _, of := range [][2]string{{"token", "serial"}, {"token_generation", "serial, number"}} {
		for some := range slices.Chunk(serials, chunk) {
			among, args := db.among(1, anys(some))
			looks = append(looks, look{"SELECT 1 FROM " + of[0] + " WHERE serial " + among + " ORDER BY " + of[1] + lock, args, func(row) error { return nil }})
		}
	}
	return db.look(ctx, looks...)
}

// Tokens lists tokens by serial. It locks nothing.
func (db *DB) Tokens(ctx context.Context, f token.Filter) ([]token.Token, error) {
	c := db.selecting(ctx, f)
	return db.tokens(ctx, c.clause("serial", f.Limit), c.args...)
}

// chosenSelect is one statement with what selects: what is read after that may be what another delivery made of the token.
const chosenSelect = "SELECT serial, user_id, issue_count, lost_at FROM token"

func scanChosen(r row) (c token.Chosen, err error) {
	c.Seen = new(token.Seen)
	err = r.Scan(&c.Serial, orZero(&c.Seen.UserID), &c.Seen.Issues, moment(&c.Seen.LostAt))
	return c, err
}

// ChooseTokens lists tokens by serial, with what is seen of them in the moment that f lets them pass. It locks nothing.
func (db *DB) ChooseTokens(ctx context.Context, f token.Filter) ([]token.Chosen, error) {
	c := db.selecting(ctx, f)
	return list(ctx, db, scanChosen, chosenSelect+c.clause("serial", f.Limit), c.args...)
}

// TokensOf lists the tokens of users that f lets pass, as ChooseTokens does, by user.
func (db *DB) TokensOf(ctx context.Context, userIDs []string, f token.Filter) (map[string][]token.Chosen, error) {
	of := map[string][]token.Chosen{}
	if userIDs = possible(userIDs); len(userIDs) == 0 {
		return of, nil
	}
	c := db.selecting(ctx, f)
	among, args := db.among(len(c.args)+1, anys(userIDs))
	c.where, c.args = append(c.where, "user_id "+among), append(c.args, args...)
	found, err := list(ctx, db, scanChosen, chosenSelect+c.clause("serial", 0), c.args...)
	for _, x := range found {
		of[x.Seen.UserID] = append(of[x.Seen.UserID], x)
	}
	return of, err
}

// notMoved are the tokens that a job delivered, and nothing after it, and that were not seen since. The inner query asks nothing of the outer one,
// so that it is made once, and not for each token.
const notMoved = "distribution IN ('issued', 'pending_activation', 'activation_lapsed') AND serial IN (SELECT t.serial FROM job AS j " +
	"JOIN job_item AS i ON i.job_id = j.id AND i.state = 'done' JOIN token AS t ON t.serial = i.key " +
	"WHERE (j.id = $%[1]d OR j.name = $%[1]d) AND NOT j.dry_run AND t.delivered_by = j.id)"

// selecting are the conditions of a filter.
func (db *DB) selecting(ctx context.Context, f token.Filter) (c conditions) {
	db.within(ctx, &c)
	c.containingOrNoted(f.Query)
	c.labelled(f)
	c.text("user_id = $%d", f.UserID)
	c.text("user_id IN (SELECT user_id FROM group_member WHERE group_name = $%d)", f.Group)
	c.text("domain <> '' AND domain IN (WITH RECURSIVE below (name) AS (SELECT name FROM security_domain WHERE name = $%d UNION SELECT d.name FROM security_domain AS d "+
		"JOIN below ON d.parent = below.name) SELECT name FROM below)", f.Domain)
	c.flag("(user_id IS NOT NULL) = $%d", f.Assigned)
	c.flag("enabled = $%d", f.Enabled)
	c.flag("hardware = $%d", f.Hardware)
	c.text("distribution = $%d", string(f.Distribution))
	c.text("profile = $%d", f.Profile)
	c.flag("(distributed_at IS NOT NULL AND replaces = '' AND replaced_by = '' AND NOT hardware AND serial > '000000000025') = $%d", f.Extendable)
	c.moment("effective_expiry < $%d", f.ExpiresBefore)
	c.moment("effective_expiry >= $%d", f.ExpiresFrom)
	c.moment("birth > $%d", f.BeginsAfter)
	c.moment("(birth IS NULL OR birth <= $%d)", f.BeginsUntil)
	c.flag("(lost_at IS NOT NULL) = $%d", f.Lost)
	switch f.Part {
	case token.Original:
		c.where = append(c.where, "replaced_by <> '' AND replaces = ''")
	case token.Replacement:
		c.where = append(c.where, "replaces <> ''")
	case token.NoReplacement:
		c.where = append(c.where, "replaces = '' AND replaced_by = ''")
	}
	if f.Issued {
		c.where = append(c.where, "issue_count > 0")
	}
	if f.Unconfirmed {
		c.where = append(c.where, "distribution IN ('issued', 'pending_activation', 'activation_lapsed')")
	}
	c.text(notMoved, f.NotMoved)
	if f.Waiting {
		c.where = append(c.where, "pending_until IS NOT NULL")
	}
	if serials := possible(f.Serials); f.Serials != nil {
		if len(serials) == 0 {
			serials = []string{""}
		}
		among, args := db.among(len(c.args)+1, anys(serials))
		c.where, c.args = append(c.where, "serial "+among), append(c.args, args...)
	}
	c.text("serial > $%d", f.After)
	return c
}

// SwitchOversDue lists the serials of tokens whose PendingUntil is not after now.
func (db *DB) SwitchOversDue(ctx context.Context, now time.Time) ([]string, error) {
	return list(ctx, db, text, "SELECT serial FROM token WHERE pending_until <= $1 ORDER BY pending_until, serial", now.UnixMicro())
}

// KnownSeeds tells of seeds, by their fingerprints, the serial of the token that has or had each; those that are new are left out.
func (db *DB) KnownSeeds(ctx context.Context, fingerprints [][]byte) (map[string]string, error) {
	known := map[string]string{}
	scan := func(r row) (serial string, err error) {
		var print []byte
		err = r.Scan(&print, &serial)
		known[string(print)] = serial
		return serial, err
	}
	for some := range slices.Chunk(fingerprints, chunk) {
		among, args := db.among(1, anys(some))
		if _, err := list(ctx, db, scan, "SELECT fingerprint, serial FROM seed_fingerprint WHERE fingerprint "+among, args...); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// AddToken stores a new record. [fault.ImportDuplicate] if the serial is taken, [fault.SeedInUse] if
// any generation of any token, living or destroyed, ever had the fingerprint.
func (db *DB) AddToken(ctx context.Context, t token.Token) error {
	return db.AddTokens(ctx, []token.Token{t})
}

// AddTokens stores new records, all or none, as AddToken does one.
func (db *DB) AddTokens(ctx context.Context, tokens []token.Token) error {
	taken := fault.New(fault.ImportDuplicate, "there is such a token already")
	if len(tokens) == 1 {
		taken = fault.New(fault.ImportDuplicate, "there is a token %s already", tokens[0].Serial)
	}
	added := bulk{insertToken, nil, taken}
	var made generations
	place := placer{db: db}
	for _, t := range tokens {
		var err error
		if t.Domain, err = place.at(ctx, t.Domain); err != nil {
			return err
		}
		added.rows = append(added.rows, tokenValues(t))
		_ = db.eachGeneration(t, func(g token.Generation, state string) error {
			made.add(t, g, state)
			return nil
		})
	}
	return db.write(ctx, append([]bulk{added}, made.bulks()...)...)
}

// eachGeneration calls do for the generations that t has.
func (db *DB) eachGeneration(t token.Token, do func(g token.Generation, state string) error) error {
	err := do(t.Current, current)
	if err == nil && t.Pending != nil {
		err = do(*t.Pending, pending)
	}
	return err
}

func typedToken(c columns) fields {
	return c.typed("boolean", "enabled, tainted, pin_change, hardware, pin_used", "bytea", "pin_hash, pin_history",
		"bigint", "birth, expiry, effective_expiry, assigned_at, pin_length, pin_set_at, pending_until, last_number, distributed_at, confirmed_at, "+
			"issue_count, created_at, version, lost_at, issues_forgiven, extension_count")
}

// What records are written with.
var (
	tokenFields      = typedToken(tokenColumns)
	savedFields      = typedToken(tokenColumns.without("domain")) // that is changed by MoveObjects
	generationFields = generationColumns.typed("boolean", "delivered, live", "bytea", "sealed, fingerprint, accepted",
		"bigint", "number, key_id, digits, interval_seconds, made_at, last_interval, clock_offset, bad_passcodes, last_used_at, version")

	insertToken       = inserting("token", tokenFields)
	saveToken         = updating("token", savedFields, "serial text, version bigint", "")
	insertGeneration  = inserting("token_generation", generationFields)
	insertFingerprint = inserting("seed_fingerprint", "fingerprint bytea, serial text, number bigint")
	saveGeneration    = updating("token_generation", changedGeneration, "serial text, number bigint", "")
	switchGeneration  = updating("token_generation", "accepted bytea, "+changedGeneration, "serial text, number bigint", "")
	destroyGeneration = deleting("token_generation", "serial text, number bigint")
)

// changedGeneration is what SaveToken changes of a generation that stays.
const changedGeneration fields = "state text, digits bigint, interval_seconds bigint, pin_type text, delivered boolean, bad_passcodes bigint, version bigint, live boolean"

// generations are new ones of some tokens.
type generations struct {
	fingerprints, rows [][]any
	serial             string
}

func (n *generations) add(t token.Token, g token.Generation, state string) {
	n.serial = t.Serial
	n.fingerprints = append(n.fingerprints, []any{g.Fingerprint, t.Serial, g.Number})
	n.rows = append(n.rows, generationValues(t, g, state))
}

// bulks are what stores them.
func (n *generations) bulks() []bulk {
	known := fault.New(fault.SeedInUse, "the seed of a token is, or was, that of another here: no seed is used twice")
	taken := fault.New(fault.Conflict, "a generation of a token was made meanwhile: read it again")
	if len(n.rows) == 1 {
		known = fault.New(fault.SeedInUse, "the seed of token %s is, or was, that of a token here: no seed is used twice", n.serial)
		taken = fault.New(fault.Conflict, "a generation of token %s was made meanwhile: read it again", n.serial)
	}
	return []bulk{{insertFingerprint, n.fingerprints, known}, {insertGeneration, n.rows, taken}}
}

// SaveToken stores a changed token whose Version is still t.Version, and counts it up; else [fault.Conflict].
// Generations that t no longer has are destroyed; of those that stay, the replay guard is left alone.
// [fault.SeedInUse] as for AddToken.
func (db *DB) SaveToken(ctx context.Context, t token.Token) error {
	return db.SaveTokens(ctx, []token.Token{t})
}

// SaveTokens stores many changed tokens, all or none, as SaveToken does one.
func (db *DB) SaveTokens(ctx context.Context, tokens []token.Token) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		for some := range slices.Chunk(tokens, lookChunk) {
			if err := db.saveTokens(ctx, some); err != nil {
				return err
			}
		}
		return nil
	})
}

func (db *DB) saveTokens(ctx context.Context, tokens []token.Token) error {
	stale := fault.New(fault.Conflict, "a token was changed meanwhile: read it again")
	if len(tokens) == 1 {
		stale = fault.New(fault.Conflict, "token %s was changed meanwhile: read it again", tokens[0].Serial)
	}
	saved := bulk{saveToken, nil, stale}
	after := make([]token.Token, len(tokens))
	for i, t := range tokens {
		read := t.Version
		t.Version++
		after[i] = t
		values := tokenValues(t)
		saved.rows = append(saved.rows, append(values[:len(values)-1], t.Serial, read)) // the last one is the domain
	}
	if err := db.write(ctx, saved); err != nil {
		return err
	}
	there, err := db.destroyOthers(ctx, after)
	if err != nil {
		return err
	}
	kept, switched := bulk{saveGeneration, nil, stale}, bulk{switchGeneration, nil, stale}
	var made generations
	for _, t := range after {
		_ = db.eachGeneration(t, func(g token.Generation, state string) error {
			switch was := there[numbered{t.Serial, g.Number}]; was {
			case state:
				kept.rows = append(kept.rows, generationChange(t, g, state))
			case "":
				made.add(t, g, state)
			default: // codes of the one before, which is gone, are known by it now
				switched.rows = append(switched.rows, append([]any{bytesOrNull([]byte(g.Accepted))}, generationChange(t, g, state)...))
			}
			return nil
		})
	}
	return db.write(ctx, append([]bulk{kept, switched}, made.bulks()...)...)
}

func generationChange(t token.Token, g token.Generation, state string) []any {
	return []any{state, g.Settings.Digits, g.Settings.Interval, g.Settings.PINType, g.Delivered, g.BadPasscodes, t.Version, live(t), t.Serial, g.Number}
}

// numbered names a generation.
type numbered struct {
	serial string
	number int
}

// destroyOthers deletes the generations of tokens that these no longer have, and returns the states of those that are left. Those with the same
// number and another seed are others.
func (db *DB) destroyOthers(ctx context.Context, tokens []token.Token) (map[numbered]string, error) {
	type found struct {
		numbered
		state       string
		fingerprint []byte
	}
	scan := func(r row) (f found, err error) {
		err = r.Scan(&f.serial, &f.number, &f.state, &f.fingerprint)
		return f, err
	}
	kept := make(map[string]token.Token, len(tokens))
	serials := make([]any, len(tokens))
	for i, t := range tokens {
		kept[t.Serial], serials[i] = t, t.Serial
	}
	among, args := db.among(1, serials)
	all, err := list(ctx, db, scan, "SELECT serial, number, state, fingerprint FROM token_generation WHERE serial "+among, args...)
	if err != nil {
		return nil, err
	}
	left := make(map[numbered]string, len(all))
	destroyed := bulk{destroyGeneration, nil, fault.New(fault.Conflict, "a token was changed meanwhile: read it again")}
	var of []string
	for _, f := range all {
		t := kept[f.serial]
		same := func(g *token.Generation) bool {
			return g != nil && g.Number == f.number && bytes.Equal(g.Fingerprint, f.fingerprint)
		}
		if same(&t.Current) || same(t.Pending) {
			left[f.numbered] = f.state
		} else {
			destroyed.rows = append(destroyed.rows, []any{f.serial, f.number})
			of = append(of, f.serial)
		}
	}
	if len(of) == 0 {
		return left, nil
	}
	if err := db.write(ctx, destroyed); err != nil {
		return nil, err
	}
	return left, db.destroyReplies(ctx, of...)
}

// DeleteToken removes a token with its seeds and activation codes; [fault.TokenNotFound].
func (db *DB) DeleteToken(ctx context.Context, serial string) error {
	missing := fault.New(fault.TokenNotFound, "there is no token %s", serial)
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.change(ctx, missing, "DELETE FROM token WHERE serial = $1", serial); err != nil {
			return err
		}
		return db.destroyReplies(ctx, serial)
	})
}
