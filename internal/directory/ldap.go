package directory

import (
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
	people  []entry
	skipped int // entries below the base that have no user ID
	groups  map[string]bool
}

// A line is a connection to a directory.
type line struct {
	*ldap.Conn
	d   Directory // completed
	now time.Time
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
	l := &line{conn, d, now}
	if d.StartTLS {
		if err := conn.StartTLS(config); err != nil {
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

// read reads all people and their groups. What breaks off in the middle is an error, and nothing.
func (l *line) read() (reading, error) {
	r := reading{groups: map[string]bool{}}
	byDN := map[string]int{}
	attributes := slices.Concat([]string{l.d.ID, l.d.Mapping.Name, l.d.Mail}, l.d.DisabledBy, identities)
	if l.d.Groups == ByMemberOf {
		attributes = append(attributes, "memberOf")
	}
	err := l.pages(l.d.BaseDN, l.d.Filter, attributes, func(e *ldap.Entry) error {
		p := l.entry(e)
		if p.id == "" {
			r.skipped++
			return nil
		}
		if len(r.people) == MaxPeople {
			return fault.New(fault.TooLarge, "directory %s has more than %d people: take a narrower filter; nothing was changed", l.d.Name, MaxPeople)
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
	if l.d.Groups != BySearch {
		return r, nil
	}
	byID := map[string]int{}
	for i, p := range r.people {
		byID[p.id] = i
	}
	return r, l.searchGroups(&r, byDN, byID)
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
			for _, dn := range e.GetEqualFoldAttributeValues(attribute) {
				i, is := byDN[normal(dn)]
				add(i, is)
			}
		}
		for _, id := range e.GetEqualFoldAttributeValues("memberUid") {
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
		// Blanks at the ends no user record takes.
		v := strings.TrimSpace(strings.ToValidUTF8(e.GetEqualFoldAttributeValue(attribute), ""))
		return &v
	}
	p := entry{dn: e.DN, id: l.cased(*text(l.d.ID)), identity: identityOf(e), name: text(l.d.Mapping.Name), mail: text(l.d.Mail)}
	*p.name = personName(*p.name)
	if *p.mail != "" && !user.IsAddress(*p.mail) {
		p.mail, p.warning = nil, fmt.Sprintf("the mail address there, %.100q, is none: here it stays as it was", *p.mail)
	}
	for _, attribute := range l.d.DisabledBy {
		p.disabled = p.disabled || disabledBy(attribute, e.GetEqualFoldAttributeValue(attribute), l.now)
	}
	if l.d.Groups == ByMemberOf {
		below := normal(l.d.GroupBase)
		for _, dn := range e.GetEqualFoldAttributeValues("memberOf") {
			if name := groupName(firstValue(dn)); name != "" && strings.HasSuffix(normal(dn), below) {
				p.groups = append(p.groups, name)
			}
		}
	}
	return p
}

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
