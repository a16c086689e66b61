package directory

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// Times of a connection.
const (
	dialTimeout    = 10 * time.Second
	requestTimeout = 30 * time.Second // of one page
	readWithin     = 10 * time.Minute // all of it; less than claimed, so that there is time to change users
)

// MaxPeople is how many people are taken from one directory.
const MaxPeople = 500_000

// An entry is a person as a directory has her.
type entry struct {
	dn       string
	id       string
	identity string // what never changes of it, as Person.Entry; "" for nothing
	name     *string
	mail     *string // nil if it is none, as warning says
	warning  string
	disabled bool
	groups   []string
}

// A reading is all that a synchronisation wants of a directory.
type reading struct {
	people    []entry
	skipped   int // entries below the base that have no user ID
	referrals int // to other servers, which are not asked
	groups    map[string]bool
}

// A line is a connection to a directory.
type line struct {
	*ldap.Conn
	d        Directory // completed
	now      time.Time
	known    map[string]Person // whom it has brought, by user ID
	referred map[string]bool   // referrals that were met
}

// dial connects, with TLS, and says who we are. Refusals name the cause and no secret.
func dial(ctx context.Context, d Directory, password []byte, now time.Time) (*line, error) {
	config, err := tlsConfig(d)
	if err != nil {
		return nil, err
	}
	conn, err := ldap.DialURL(d.URL, ldap.DialWithTLSConfig(config), ldap.DialWithDialer(&net.Dialer{Timeout: dialTimeout}))
	if err != nil {
		return nil, unreachable(d, err)
	}
	conn.SetTimeout(requestTimeout)
	context.AfterFunc(ctx, func() { _ = conn.Close() }) // whoever waits gets an error
	l := &line{Conn: conn, d: d, now: now, referred: map[string]bool{}}
	if d.StartTLS {
		if err := startTLS(conn, config); err != nil {
			return nil, errors.Join(unreachable(d, err), conn.Close())
		}
	}
	if d.BindDN != "" {
		err = conn.Bind(d.BindDN, string(password))
	} else {
		err = conn.UnauthenticatedBind("")
	}
	if err != nil {
		return nil, errors.Join(l.refusal(err, "it does not let "+or(d.BindDN, "nobody in particular")+" in"), conn.Close())
	}
	return l, nil
}

// startTLS begins TLS. The library's timeout is for the answer only: it would wait without end for a handshake after it.
func startTLS(conn *ldap.Conn, config *tls.Config) error {
	stalled := time.AfterFunc(requestTimeout, func() { _ = conn.Close() })
	defer stalled.Stop()
	return conn.StartTLS(config)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func tlsConfig(d Directory) (*tls.Config, error) {
	u, err := url.Parse(d.URL)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if d.CA != "" {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM([]byte(d.CA))
	}
	return config, nil
}

// unreachable tells why there is no connection, or no more.
func unreachable(d Directory, err error) error {
	var untrusted *tls.CertificateVerificationError
	why := "it does not answer, or broke off"
	if errors.As(err, &untrusted) || strings.Contains(err.Error(), "x509:") {
		why = "its certificate is not trusted: give the authority that signed it, and the name that it is for"
	}
	return errors.Join(fault.New(fault.DirectoryUnreachable, "directory %s at %s: %s; nothing was changed", d.Name, d.URL, why), err)
}

// refusal turns an error of the protocol into what to do about it.
func (l *line) refusal(err error, doing string) error {
	var told *ldap.Error
	if !errors.As(err, &told) || told.ResultCode == ldap.ErrorNetwork || told.ResultCode >= 200 {
		return unreachable(l.d, err)
	}
	if told.ResultCode == ldap.LDAPResultAdminLimitExceeded {
		doing += ", as it may with a smaller page size"
	}
	return fault.New(fault.DirectoryRefused, "directory %s: %s (LDAP result %d, %s); nothing was changed", l.d.Name, doing, told.ResultCode, ldap.LDAPResultCodeMap[told.ResultCode])
}

// read reads all people and their groups within readWithin: other directories wait for this one. What breaks off in the middle is an
// error, and nothing.
func (l *line) read() (reading, error) {
	over := time.AfterFunc(readWithin, func() { _ = l.Close() })
	r, err := l.everything()
	if !over.Stop() {
		return reading{}, fault.New(fault.DirectoryUnreachable, "directory %s takes longer than %d minutes to read: take a narrower filter, or larger pages; nothing was changed", l.d.Name, readWithin/time.Minute)
	}
	return r, err
}

func (l *line) everything() (reading, error) {
	r := reading{groups: map[string]bool{}}
	byDN := map[string]int{}
	attributes := slices.Concat([]string{l.d.ID, l.d.Mapping.Name, l.d.Mail}, l.d.DisabledBy, identities)
	taken, err := l.takenGroups()
	if err != nil {
		return reading{}, err
	}
	if l.d.Groups == ByMemberOf {
		attributes = append(attributes, "memberOf")
	}
	err = l.pages(l.d.BaseDN, l.d.Filter, attributes, func(e *ldap.Entry) error {
		p := l.entry(e)
		if p.id == "" {
			r.skipped++
			return nil
		}
		if len(r.people) == MaxPeople {
			return fault.New(fault.TooLarge, "directory %s has more than %d people: take a narrower filter; nothing was changed", l.d.Name, MaxPeople)
		}
		if l.d.Groups == ByMemberOf {
			var err error
			if p.groups, err = l.memberOf(e, taken); err != nil {
				return err
			}
		}
		byDN[normal(e.DN)] = len(r.people)
		r.people = append(r.people, p)
		for _, g := range p.groups {
			r.groups[g] = true
		}
		return nil
	})
	if err != nil {
		return reading{}, err
	}
	if l.d.Groups == BySearch {
		byID := map[string]int{}
		for i, p := range r.people {
			byID[p.id] = i
		}
		err = l.searchGroups(&r, byDN, byID)
	}
	r.referrals = len(l.referred)
	return r, err
}

// takenGroups are the names of the groups that people may be in by memberOf; nil for all below the base, which a filter of one's own narrows.
func (l *line) takenGroups() (map[string]bool, error) {
	if l.d.Groups != ByMemberOf || l.d.GroupFilter == defaults[l.d.Kind].groupFilter {
		return nil, nil
	}
	taken := map[string]bool{}
	return taken, l.pages(l.d.GroupBase, l.d.GroupFilter, []string{noAttributes}, func(e *ldap.Entry) error {
		taken[normal(e.DN)] = true
		return nil
	})
}

// noAttributes asks for names of entries alone (RFC 4511, 4.5.1.8).
const noAttributes = "1.1"

// memberOf are the groups that the entry of a person names.
func (l *line) memberOf(e *ldap.Entry, taken map[string]bool) (groups []string, err error) {
	all, err := l.values(e, "memberOf")
	for _, dn := range all {
		if name := groupName(firstValue(dn)); name != "" && below(l.d.GroupBase, dn) && (taken == nil || taken[normal(dn)]) {
			groups = append(groups, name)
		}
	}
	return groups, err
}

// values are all values of an attribute of an entry. Active Directory gives 1500 or so of one that has more, under a name that says which
// ([MS-ADTS] 3.1.1.3.1.3.3: member;range=0-1499), and the rest when it is asked for it.
func (l *line) values(e *ldap.Entry, attribute string) (all []string, err error) {
	incomplete := "it does not show all values of " + attribute + " of " + e.DN
	for {
		some, more, next := ranged(e, attribute, len(all))
		if all = append(all, some...); !more && next {
			return all, nil
		}
		if !next {
			return nil, fault.New(fault.DirectoryRefused, "directory %s: %s; nothing was changed", l.d.Name, incomplete)
		}
		rest := fmt.Sprintf("%s;range=%d-*", attribute, len(all))
		found, err := l.Search(ldap.NewSearchRequest(e.DN, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, int(requestTimeout/time.Second), false, "(objectClass=*)", []string{rest}, nil))
		if err != nil {
			return nil, l.refusal(err, incomplete)
		}
		e = &ldap.Entry{DN: e.DN}
		if len(found.Entries) == 1 {
			e = found.Entries[0]
		}
	}
}

// ranged are the values of an attribute that an entry shows, whether there are more, and whether they are the next ones from a number on.
func ranged(e *ldap.Entry, attribute string, from int) (values []string, more, next bool) {
	for _, a := range e.Attributes {
		name, span, is := strings.Cut(strings.ToLower(a.Name), ";range=")
		if !is || name != strings.ToLower(attribute) {
			continue
		}
		first, last, _ := strings.Cut(span, "-")
		return a.Values, last != "*", first == strconv.Itoa(from) && len(a.Values) > 0
	}
	return e.GetEqualFoldAttributeValues(attribute), false, from == 0
}

// searchGroups finds the groups that name their members: by DN, or by user ID.
func (l *line) searchGroups(r *reading, byDN, byID map[string]int) error {
	return l.pages(l.d.GroupBase, l.d.GroupFilter, []string{"cn", "member", "uniqueMember", "memberUid"}, func(e *ldap.Entry) error {
		name := groupName(e.GetEqualFoldAttributeValue("cn"))
		if name == "" {
			return nil
		}
		r.groups[name] = true
		add := func(i int, is bool) {
			if is {
				r.people[i].groups = append(r.people[i].groups, name)
			}
		}
		for _, attribute := range []string{"member", "uniqueMember"} {
			members, err := l.values(e, attribute)
			if err != nil {
				return err
			}
			for _, dn := range members {
				i, is := byDN[normal(dn)]
				add(i, is)
			}
		}
		ids, err := l.values(e, "memberUid")
		if err != nil {
			return err
		}
		for _, id := range ids {
			i, is := byID[l.cased(id)]
			add(i, is)
		}
		return nil
	})
}

// pages calls do for all entries that a filter finds below a base, asking for a page at a time.
func (l *line) pages(base, filter string, attributes []string, do func(*ldap.Entry) error) error {
	paging := ldap.NewControlPaging(uint32(l.d.PageSize))
	for {
		found, err := l.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, int(requestTimeout/time.Second), false, filter, attributes, []ldap.Control{paging}))
		if err != nil {
			return l.refusal(err, "below "+base+" it does not find all that is asked for")
		}
		for _, to := range found.Referrals {
			l.referred[to] = true
		}
		for _, e := range found.Entries {
			if err := do(e); err != nil {
				return err
			}
		}
		answer, is := ldap.FindControl(found.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		switch {
		case !is && len(paging.Cookie) > 0:
			return unreachable(l.d, errors.New("an answer in pages ended without saying so"))
		case !is || len(answer.Cookie) == 0:
			return nil
		}
		paging.SetCookie(answer.Cookie)
	}
}

// entry reads a person.
func (l *line) entry(e *ldap.Entry) entry {
	text := func(attribute string) *string {
		v := clean(e.GetEqualFoldAttributeValue(attribute))
		return &v
	}
	p := entry{dn: e.DN, id: l.id(e), identity: identityOf(e), name: text(l.d.Mapping.Name), mail: text(l.d.Mail)}
	*p.name = personName(*p.name)
	if *p.mail != "" && !user.IsAddress(*p.mail) {
		p.mail, p.warning = nil, fmt.Sprintf("the mail address there, %.100q, is none: here it stays as it was", *p.mail)
	}
	for _, attribute := range l.d.DisabledBy {
		p.disabled = p.disabled || disabledBy(attribute, e.GetEqualFoldAttributeValue(attribute), l.now)
	}
	return p
}

// id is the user ID of an entry. Directories have no order of values: of several it is one that is known already, of somebody who is there rather than of one
// who is gone, and of nobody else if that can be; or else the one in the name of the entry, or else the first.
func (l *line) id(e *ldap.Entry) string {
	var ids []string
	for _, v := range e.GetEqualFoldAttributeValues(l.d.ID) {
		if id := l.cased(clean(v)); named(e.DN, l.d.ID, v) {
			ids = slices.Insert(ids, 0, id)
		} else {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	identity := identityOf(e)
	rank := func(id string) int {
		switch who, known := l.known[id]; {
		case !known:
			return 3
		case stranger(who, identity):
			return 2
		case who.Missing:
			return 1
		}
		return 0
	}
	return slices.MinFunc(ids, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) }) // the first of several
}

// named tells whether the first part of a distinguished name has a value of an attribute.
func named(dn, attribute, value string) bool {
	parsed, err := ldap.ParseDN(dn)
	return err == nil && len(parsed.RDNs) > 0 && slices.ContainsFunc(parsed.RDNs[0].Attributes, func(a *ldap.AttributeTypeAndValue) bool {
		return strings.EqualFold(a.Type, attribute) && strings.EqualFold(a.Value, value)
	})
}

// clean is a value without blanks at the ends and what cannot be printed, which no user record takes.
func clean(value string) string { return strings.TrimSpace(strings.ToValidUTF8(value, "")) }

// identities are attributes that servers give each entry for good, and no other one ever: the first that an entry has is its own.
var identities = []string{"objectGUID", "entryUUID", "ipaUniqueID", "nsUniqueId"}

func identityOf(e *ldap.Entry) string {
	for _, attribute := range identities {
		value := e.GetEqualFoldAttributeValue(attribute)
		if value == "" {
			continue
		}
		if !utf8.ValidString(value) || strings.ContainsFunc(value, func(c rune) bool { return !unicode.IsPrint(c) }) { // objectGUID is 16 bytes
			value = hex.EncodeToString([]byte(value))
		}
		return attribute + "=" + value
	}
	return ""
}

// another tells whether an entry is another one than that of before. What a directory does not tell, or tells by another attribute, says nothing.
func another(before, now string) bool {
	attribute, _, _ := strings.Cut(before, "=")
	return before != "" && now != before && strings.HasPrefix(now, attribute+"=")
}

func (l *line) cased(id string) string {
	if l.d.LowerCase {
		return strings.ToLower(id)
	}
	return id
}

// disabledBy tells whether the value of an attribute says that a person is disabled at now; no value does not.
func disabledBy(attribute, value string, now time.Time) bool {
	switch strings.ToLower(attribute) {
	case "useraccountcontrol":
		const accountDisable = 2
		n, err := strconv.ParseInt(value, 10, 64)
		return err == nil && n&accountDisable != 0
	case "accountexpires": // [MS-ADA1] 2.1: in 100 ns since 1601; 0 and the greatest number are never
		const since1601 = 11_644_473_600 // seconds up to 1970
		n, err := strconv.ParseInt(value, 10, 64)
		return err == nil && n > 0 && n != math.MaxInt64 && !now.Before(time.Unix(n/10_000_000-since1601, n%10_000_000*100))
	case "shadowexpire": // RFC 2307: the first day without, in days since 1970; none below 1
		n, err := strconv.ParseInt(value, 10, 32)
		return err == nil && n > 0 && !now.Before(time.Unix(n*24*60*60, 0))
	case "nsaccountlock":
		return strings.EqualFold(value, "true")
	case "pwdaccountlockedtime":
		return value == "000001010000Z" // locked by an administrator; other times end by themselves
	case "loginshell":
		shell := path.Base(value)
		return shell == "nologin" || shell == "false"
	}
	return false
}

// normal is a distinguished name in a form that can be compared.
func normal(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	return strings.ToLower(parsed.String())
}

// below tells whether an entry is at a base or below it.
func below(base, dn string) bool {
	above, err := ldap.ParseDN(base)
	if err != nil {
		return false
	}
	parsed, err := ldap.ParseDN(dn)
	return err == nil && (above.EqualFold(parsed) || above.AncestorOfFold(parsed))
}

// firstValue is the value of the first part of a distinguished name: the name of a group.
func firstValue(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 || len(parsed.RDNs[0].Attributes) == 0 {
		return ""
	}
	return parsed.RDNs[0].Attributes[0].Value
}

// personName is what a person is called here: a name that no user record takes must not keep her enabled.
func personName(name string) string {
	name = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, name)
	if len(name) > user.MaxName {
		name = strings.ToValidUTF8(name[:user.MaxName], "")
	}
	return strings.TrimSpace(name)
}

// groupName is what a group is called here: commas and semicolons stand between names.
func groupName(name string) string {
	name = strings.TrimSpace(strings.Map(func(c rune) rune {
		if c == ',' || c == ';' {
			return ' '
		}
		return c
	}, name))
	if len(name) > 128 || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return ""
	}
	return name
}
