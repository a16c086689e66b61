package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/mail"
	"github.com/tallystick/tallystick/internal/token"
)

const (
	mailSettingsColumns columns = "enabled, host, port, security, ca, user_name, password, mail_from, reply_to, per_minute, notify, expiry_days, version, trouble, trouble_at"
	mailTemplateColumns columns = "event, profile, subject, text, html"
	mailMessageColumns  columns = "id, event, user_id, serial, generation, recipient, job, state, key_id, sealed, created_at, next_at, expires_at, tries, claimed_by, claimed_at, " +
		"ended_at, code, trouble"
)

func scanMailSettings(r row) (s mail.Settings, err error) {
	var notify, days string
	err = r.Scan(&s.Enabled, &s.Host, &s.Port, &s.Security, &s.CA, &s.UserName, &s.Password, &s.From, &s.ReplyTo, &s.PerMinute, &notify, &days, &s.Version,
		&s.Trouble, moment(&s.TroubleAt))
	if err != nil {
		return s, err
	}
	err = errors.Join(json.Unmarshal([]byte(notify), &s.Notify), json.Unmarshal([]byte(days), &s.ExpiryDays))
	return s, err
}

// MailSettings returns the settings; [fault.NotFound] before the first ones.
func (db *DB) MailSettings(ctx context.Context) (mail.Settings, error) {
	return db.mailSettings(ctx, "")
}

// LockMailSettings is MailSettings, with the row locked for change in the transaction of ctx.
func (db *DB) LockMailSettings(ctx context.Context) (mail.Settings, error) {
	return db.mailSettings(ctx, db.locked(ctx))
}

func (db *DB) mailSettings(ctx context.Context, lock string) (mail.Settings, error) {
	missing := fault.New(fault.NotFound, "there are no mail settings yet")
	return one(ctx, db, missing, scanMailSettings, "SELECT "+string(mailSettingsColumns)+" FROM mail_settings WHERE id = 1"+lock)
}

// SaveMailSettings stores settings whose Version is still s.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveMailSettings(ctx context.Context, s mail.Settings) error {
	stale := fault.New(fault.Conflict, "the mail settings were changed meanwhile: read them again")
	notify, err := json.Marshal(s.Notify)
	days, wrong := json.Marshal(s.ExpiryDays)
	if err := errors.Join(err, wrong); err != nil {
		return err
	}
	read := s.Version
	values := []any{s.Enabled, s.Host, s.Port, s.Security, s.CA, s.UserName, s.Password, s.From, s.ReplyTo, s.PerMinute, string(notify), string(days), read + 1,
		s.Trouble, micros(s.TroubleAt)}
	if read == 0 {
		return db.change(ctx, stale, "INSERT INTO mail_settings ("+string(mailSettingsColumns)+", id) VALUES ("+places(16)+") ON CONFLICT DO NOTHING", append(values, 1)...)
	}
	return db.change(ctx, stale, mailSettingsColumns.update("mail_settings", "version = $16"), append(values, read)...)
}

// NoteMailTrouble keeps what is wrong with the mail server, "" for nothing.
func (db *DB) NoteMailTrouble(ctx context.Context, t mail.Trouble, at time.Time) error {
	_, err := db.exec(ctx, "UPDATE mail_settings SET trouble = $1, trouble_at = $2", t, micros(at))
	return err
}

// MailTemplates lists the templates that replace built-in ones.
func (db *DB) MailTemplates(ctx context.Context) ([]mail.Template, error) {
	scan := func(r row) (t mail.Template, err error) {
		err = r.Scan(&t.Event, &t.Profile, &t.Subject, &t.Text, &t.HTML)
		return t, err
	}
	return list(ctx, db, scan, "SELECT "+string(mailTemplateColumns)+" FROM mail_template ORDER BY event, profile")
}

// SaveMailTemplate stores a template.
func (db *DB) SaveMailTemplate(ctx context.Context, t mail.Template) error {
	_, err := db.exec(ctx, "INSERT INTO mail_template ("+string(mailTemplateColumns)+") VALUES ("+places(5)+") ON CONFLICT (event, profile) DO UPDATE SET"+
		" subject = excluded.subject, text = excluded.text, html = excluded.html", t.Event, t.Profile, t.Subject, t.Text, t.HTML)
	return err
}

// DeleteMailTemplate removes one; [fault.NotFound].
func (db *DB) DeleteMailTemplate(ctx context.Context, e mail.Event, profile string) error {
	missing := fault.New(fault.NotFound, "this template of event %s is the one that it would go back to", e)
	return db.change(ctx, missing, "DELETE FROM mail_template WHERE event = $1 AND profile = $2", e, profile)
}

func messageValues(m mail.Message) []any {
	return []any{m.ID, m.Event, orNull(m.UserID), orNull(m.Serial), orNull(m.Generation), m.Recipient, orNull(m.Job), m.State, orNull(m.Sealed.KeyID), bytesOrNull(m.Sealed.Blob),
		micros(m.CreatedAt), micros(m.NextAt), micros(m.ExpiresAt), m.Tries, m.ClaimedBy, micros(m.ClaimedAt), micros(m.EndedAt), m.Code, m.Trouble}
}

func scanMessage(r row) (m mail.Message, err error) {
	err = r.Scan(&m.ID, &m.Event, orZero(&m.UserID), orZero(&m.Serial), orZero(&m.Generation), &m.Recipient, orZero(&m.Job), &m.State, orZero(&m.Sealed.KeyID), &m.Sealed.Blob,
		moment(&m.CreatedAt), moment(&m.NextAt), moment(&m.ExpiresAt), &m.Tries, &m.ClaimedBy, moment(&m.ClaimedAt), moment(&m.EndedAt), &m.Code, &m.Trouble)
	return m, err
}

const selectMessage = "SELECT " + string(mailMessageColumns) + " FROM mail_message"

// AddMessages stores new messages.
func (db *DB) AddMessages(ctx context.Context, all []mail.Message) error {
	taken := fault.New(fault.Conflict, "there is a message with this ID already")
	statements := make([]statement, len(all))
	for i, m := range all {
		statements[i] = statement{mailMessageColumns.insert("mail_message"), messageValues(m), 1, taken}
	}
	return db.batch(ctx, statements)
}

// Message returns a message to a user in the scope of ctx, or any if that is not limited; [fault.NotFound], [fault.OutOfScope]. Within a
// transaction the row is locked for change.
func (db *DB) Message(ctx context.Context, id string) (mail.Message, error) {
	missing := domain.Outside(ctx, fault.New(fault.NotFound, "there is no message %q", id), "message %q", id)
	within, args := db.ofScope(ctx, "user_id", domain.Users, 1)
	return one(ctx, db, missing, scanMessage, selectMessage+" WHERE id = $1"+within+db.locked(ctx), append([]any{id}, args...)...)
}

// Messages lists messages, the newest first; those to users in the scope of ctx if that is limited.
func (db *DB) Messages(ctx context.Context, f mail.Filter) ([]mail.Message, error) {
	var c conditions
	c.text("state = $%d", string(f.State))
	c.text("user_id = $%d", f.UserID)
	c.text("serial = $%d", f.Serial)
	c.text("id < $%d", f.Before)
	if within, args := db.ofScope(ctx, "user_id", domain.Users, len(c.args)); within != "" {
		c.where, c.args = append(c.where, strings.TrimPrefix(within, " AND ")), append(c.args, args...)
	}
	return list(ctx, db, scanMessage, selectMessage+c.clause("id DESC", f.Limit), c.args...)
}

// DueMessage returns, and within a transaction locks, a waiting message whose time has come and that nobody else has locked: codes on demand before all
// others, since somebody waits for them, and those that were not tried yet before those that are tried again, or mailboxes that take none would hold the others
// up; and at last those whose time comes after late only. [fault.NotFound].
func (db *DB) DueMessage(ctx context.Context, now, late time.Time) (mail.Message, error) {
	lock := ""
	if db.current(ctx) != nil {
		lock = db.locksFree()
	}
	var m mail.Message
	var err error
	for _, which := range []struct {
		condition string
		at        time.Time
	}{
		{"event = 'on_demand_code' AND tries = 0 AND next_at <= $1", now}, {"event = 'on_demand_code' AND next_at <= $1", now}, {"next_at <= $1", now},
		{"next_at > $1", late},
	} {
		m, err = one(ctx, db, fault.New(fault.NotFound, "no message is due"), scanMessage,
			selectMessage+" WHERE state = 'waiting' AND "+which.condition+" ORDER BY next_at, id LIMIT 1"+lock, micros(which.at))
		if !errors.Is(err, fault.NotFound) {
			break
		}
	}
	return m, err
}

// SaveMessage stores a message that was in a state; else [fault.Conflict].
func (db *DB) SaveMessage(ctx context.Context, m mail.Message, was mail.State) error {
	stale := fault.New(fault.Conflict, "message %s is not %s any more", m.ID, was)
	return db.change(ctx, stale, mailMessageColumns.update("mail_message", "id = $20 AND state = $21"), append(messageValues(m), m.ID, was)...)
}

// MessagesClaimed is how many messages were begun within a minute before now, or by a clock that is a little ahead.
func (db *DB) MessagesClaimed(ctx context.Context, now time.Time) (int, error) {
	n, err := one(ctx, db, nil, number, "SELECT COUNT(*) FROM mail_message WHERE claimed_at > $1 AND claimed_at <= $2", micros(now.Add(-time.Minute)), micros(now.Add(time.Minute)))
	return int(n), err
}

// MailBacklog counts what is not sent, through an index; the oldest message has the least ID.
func (db *DB) MailBacklog(ctx context.Context) (mail.Backlog, error) {
	b := mail.Backlog{Messages: map[mail.State]int{mail.Held: 0, mail.Waiting: 0, mail.Sending: 0, mail.Failed: 0, mail.Unknown: 0}}
	return b, db.look(ctx,
		look{"SELECT state, COUNT(*) FROM mail_message WHERE state IN ('held', 'waiting', 'sending', 'failed', 'unknown') GROUP BY state", nil, func(r row) error {
			var state mail.State
			var n int
			err := r.Scan(&state, &n)
			b.Messages[state] = n
			return err
		}},
		look{"SELECT created_at FROM mail_message WHERE state = 'waiting' ORDER BY id LIMIT 1", nil, func(r row) error { return r.Scan(moment(&b.Oldest)) }})
}

// ClaimedMessages returns messages that are being sent: by a server, or since before a moment, or after late, by anybody.
func (db *DB) ClaimedMessages(ctx context.Context, server string, before, late time.Time) ([]mail.Message, error) {
	return list(ctx, db, scanMessage, selectMessage+" WHERE state = 'sending' AND (claimed_by = $1 OR claimed_at < $2 OR claimed_at > $3) ORDER BY id"+db.locked(ctx), server, micros(before), micros(late))
}

// HeldMessages returns what is held for a user and can be released now, as [mail.Store] has it.
func (db *DB) HeldMessages(ctx context.Context, userID string, now time.Time) ([]mail.Message, error) {
	return list(ctx, db, scanMessage, selectMessage+" WHERE user_id = $1 AND state = 'held' AND expires_at > $2"+
		" AND EXISTS (SELECT 1 FROM user_account AS u WHERE u.id = $1 AND u.enabled AND (u.expiry IS NULL OR u.expiry > $3))"+
		" AND NOT EXISTS (SELECT 1 FROM token AS t WHERE t.serial = mail_message.serial AND (t.user_id IS NULL OR t.user_id <> $1)) ORDER BY id"+db.locked(ctx), userID, micros(now), micros(now.AddDate(0, 0, -1)))
}

// OverdueMessages returns up to limit messages that are held and of no use any more at a moment. Within a transaction their rows are locked.
func (db *DB) OverdueMessages(ctx context.Context, now time.Time, limit int) ([]mail.Message, error) {
	return list(ctx, db, scanMessage, selectMessage+" WHERE state = 'held' AND expires_at <= $1 ORDER BY id LIMIT $2"+db.locked(ctx), micros(now), limit)
}

// cancelling begins a statement that cancels mail about tokens, for the reason $1, and erases the bodies. What is being sent only loses its body, and is told
// why: whoever sends it, or finds out what became of it, ends it.
func cancelling(endedAt string) string {
	return "UPDATE mail_message SET trouble = $1, key_id = NULL, sealed = NULL, state = CASE state WHEN 'sending' THEN state ELSE 'cancelled' END," +
		" ended_at = CASE state WHEN 'sending' THEN ended_at ELSE " + endedAt + " END WHERE state IN ('held', 'waiting', 'sending', 'failed', 'unknown') AND serial "
}

// CancelMessages cancels what is held, waits, failed or is unknown about tokens, for a reason, and erases the bodies, also of what is being sent.
func (db *DB) CancelMessages(ctx context.Context, serials []string, why mail.Trouble, at time.Time) error {
	for some := range slices.Chunk(serials, chunk) {
		among, args := db.among(3, anys(some))
		if _, err := db.exec(ctx, cancelling("$2")+among, append([]any{why, micros(at)}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// destroyMail does the same to what may hold a seed or activation code that is gone, and for which also holds. Nobody says when; such messages are forgotten by their beginning.
func (db *DB) destroyMail(ctx context.Context, serials []string, also string) error {
	among, args := db.among(2, anys(serials))
	_, err := db.exec(ctx, cancelling("created_at")+among+also, append([]any{mail.Superseded}, args...)...)
	return err
}

// HasGeneration tells whether a token has a generation of its seed.
func (db *DB) HasGeneration(ctx context.Context, serial string, generation int) (bool, error) {
	n, err := one(ctx, db, nil, number, "SELECT COUNT(*) FROM token_generation WHERE serial = $1 AND number = $2", serial, generation)
	return n > 0, err
}

// DropMessages removes what ended before a moment.
func (db *DB) DropMessages(ctx context.Context, before time.Time) (int, error) {
	return db.exec(ctx, "DELETE FROM mail_message WHERE ended_at < $1", micros(before))
}

// UnableToSignIn returns those of some users who have no way to sign in, as far as the records tell: no directory shows them, and they have no
// token that works today (0:00 UTC). A token works whose seed its user has used, or has taken in by an exchange, and one that was hers before
// anything was delivered from here; or it has emergency codes.
func (db *DB) UnableToSignIn(ctx context.Context, userIDs []string, today time.Time) ([]string, error) {
	var all []string
	for some := range slices.Chunk(userIDs, chunk) {
		among, args := db.among(2, anys(some))
		found, err := list(ctx, db, text, "SELECT u.id FROM user_account AS u WHERE u.id "+among+
			" AND NOT EXISTS (SELECT 1 FROM directory_user AS d WHERE d.user_id = u.id AND d.directory IS NOT NULL AND NOT d.missing)"+
			" AND NOT EXISTS (SELECT 1 FROM token AS t JOIN token_generation AS g ON g.serial = t.serial AND g.state = 'current'"+
			" WHERE t.user_id = u.id AND t.enabled AND NOT t.tainted AND t.effective_expiry >= $1 AND (t.emergency IS NOT NULL OR t.lost_at IS NULL AND"+
			" (t.distribution = 'confirmed' OR g.last_used_at > t.assigned_at OR t.distributed_at IS NULL AND (t.hardware OR t.origin = 'imported'))))"+
			" ORDER BY u.id", append([]any{micros(today)}, args...)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// selectHolder reads tokens with their users. Who was given a token waits until the new seed is confirmed.
const selectHolder = "SELECT t.serial, t.profile, COALESCE(p.device_type, ''), t.effective_expiry, u.id, u.name, u.mail, u.enabled, u.expiry, t.distribution" +
	" FROM token AS t JOIN user_account AS u ON u.id = t.user_id LEFT JOIN profile AS p ON p.name = t.profile WHERE "

func scanHolder(r row) (h mail.Holder, err error) {
	var state token.Distribution
	err = r.Scan(&h.Serial, orZero(&h.Profile), &h.DeviceType, moment(&h.Expiry), &h.UserID, &h.UserName, &h.Mail, &h.Enabled, moment(&h.LastDay), &state)
	h.Waiting = state != token.NotDistributed && state != token.Confirmed
	return h, err
}

// Holders returns tokens that are assigned, with who holds them; what is not there, or not in the scope of ctx, is left out, and so is who is not.
func (db *DB) Holders(ctx context.Context, serials []string) ([]mail.Holder, error) {
	var all []mail.Holder
	for some := range slices.Chunk(serials, chunk) {
		among, args := db.among(1, anys(some))
		for column, kind := range map[string]domain.Kind{"t.serial": domain.Tokens, "u.id": domain.Users} {
			within, scope := db.ofScope(ctx, column, kind, len(args))
			among, args = among+within, append(args, scope...)
		}
		found, err := list(ctx, db, scanHolder, selectHolder+"t.serial "+among+" ORDER BY t.serial", args...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// ExpiringHolders returns the tokens that end soon and whose users are to be told, as [mail.Store] has it.
func (db *DB) ExpiringHolders(ctx context.Context, today time.Time, days int, after mail.Holder, limit int) ([]mail.Holder, error) {
	from := today
	if after.Serial != "" {
		from = after.Expiry
	}
	return list(ctx, db, scanHolder, selectHolder+"t.effective_expiry >= $1 AND (t.effective_expiry > $1 OR t.serial > $2) AND t.effective_expiry < $3 AND t.enabled AND u.enabled"+
		" AND (u.expiry IS NULL OR u.expiry >= $4) AND u.mail <> '' AND (t.distribution <> 'not_distributed' OR t.origin = 'imported') AND NOT EXISTS"+
		" (SELECT 1 FROM mail_notice AS n WHERE n.serial = t.serial AND n.user_id = t.user_id AND n.expiry = t.effective_expiry AND n.days <= $5)"+
		" ORDER BY t.effective_expiry, t.serial LIMIT $6", micros(from), after.Serial, micros(today.AddDate(0, 0, days+1)), micros(today), days, limit)
}

// AddNotices notes that users were told of so many days left until the end of tokens; [fault.Conflict] if another server did.
func (db *DB) AddNotices(ctx context.Context, tokens []mail.Holder, days int) error {
	statements := make([]statement, len(tokens))
	for i, h := range tokens {
		statements[i] = statement{"INSERT INTO mail_notice (serial, user_id, expiry, days) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			[]any{h.Serial, h.UserID, micros(h.Expiry), days}, 1, fault.New(fault.Conflict, "another server tells of token %s", h.Serial)}
	}
	return db.batch(ctx, statements)
}

// RemindedSince returns which of some tokens users were reminded of after a moment.
func (db *DB) RemindedSince(ctx context.Context, serials []string, since time.Time) ([]string, error) {
	var all []string
	for some := range slices.Chunk(serials, chunk) {
		among, args := db.among(2, anys(some))
		found, err := list(ctx, db, text, "SELECT DISTINCT serial FROM mail_message WHERE event = 'reminder' AND created_at > $1 AND serial "+among, append([]any{micros(since)}, args...)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// TryPasscode counts a try of a user's passcode and tells whether it may be made: no more than most unless the last one was at the
// moment from or before.
func (db *DB) TryPasscode(ctx context.Context, userID string, now, from time.Time, most int) (bool, error) {
	return db.try(ctx, passcodeTries, userID, now, from, most)
}

// ForgetPasscodes forgets all tries of a user's passcodes, or takes the last one back.
func (db *DB) ForgetPasscodes(ctx context.Context, userID string, all bool) error {
	return db.untry(ctx, passcodeTries, userID, all)
}
