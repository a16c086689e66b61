package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/tallystick/tallystick/internal/access"
	"github.com/tallystick/tallystick/internal/domain"
	"github.com/tallystick/tallystick/internal/fault"
)

// within adds the condition that what is listed lies in the scope of ctx.
func (db *DB) within(ctx context.Context, c *conditions) {
	condition, args := db.inScope(ctx, len(c.args))
	if condition != "" {
		c.where, c.args = append(c.where, condition), append(c.args, args...)
	}
}

// inScope is that condition for a query that has n arguments already, and more of them; "" for the whole deployment.
func (db *DB) inScope(ctx context.Context, n int) (condition string, args []any) {
	scope := domain.ScopeFrom(ctx)
	if !scope.Limited() {
		return "", nil
	}
	among, args := db.among(n+1, anys(scope.Names()))
	return "domain <> '' AND domain " + among, args // as the indexes say
}

// andInScope is the condition behind others.
func (db *DB) andInScope(ctx context.Context, n int) (condition string, args []any) {
	condition, args = db.inScope(ctx, n)
	if condition != "" {
		condition = " AND " + condition
	}
	return condition, args
}

// ofScope is the condition, behind others, that a column names an object of a kind that is in the scope of ctx.
func (db *DB) ofScope(ctx context.Context, column string, kind domain.Kind, n int) (condition string, args []any) {
	condition, args = db.inScope(ctx, n)
	if condition != "" {
		condition = " AND " + column + " IN (SELECT " + homes[kind].name + " FROM " + homes[kind].table + " WHERE " + condition + ")"
	}
	return condition, args
}

// seen is an object that was read, if it lies in the scope of ctx, and else a refusal that does not tell whether it exists:
// missing for the whole deployment. Kind is what people call such an object.
func seen[T any](ctx context.Context, v T, where string, err error, missing *fault.Error, kind, name string) (T, error) {
	var none T
	scope := domain.ScopeFrom(ctx)
	switch {
	case err == nil && scope.Covers(where):
		return v, nil
	case err == nil, fault.CodeOf(err) == missing.Code:
		return none, domain.Outside(ctx, missing, "%s %q", kind, name)
	}
	return none, err
}

// placed is where a new object goes that is to be in a domain: the top of the scope of ctx if that is not said. The domain is
// kept from being deleted until the transaction ends. [fault.OutOfScope], [fault.DomainNotFound].
func (db *DB) placed(ctx context.Context, name string) (string, error) {
	scope := domain.ScopeFrom(ctx)
	if name == domain.Root {
		name = scope.Top()
	}
	return name, db.HoldDomain(ctx, name)
}

// HoldDomain keeps a domain from being deleted until the transaction of ctx ends. [fault.DomainNotFound], or [fault.OutOfScope] for
// one that is not in the scope of ctx.
func (db *DB) HoldDomain(ctx context.Context, name string) error {
	scope := domain.ScopeFrom(ctx)
	if !scope.Covers(name) {
		return domain.NotFound(ctx, name)
	}
	if name == domain.Root {
		return nil
	}
	missing := domain.NotFound(domain.WithScope(ctx, scope.Caller()), name) // it was deleted meanwhile: in the scope of who acts there is none
	_, err := one(ctx, db, missing, text, "SELECT name FROM security_domain WHERE name = $1"+db.locksShared(), name)
	return err
}

// HasDomain refuses a security domain that is not there, or not in the scope of ctx: [fault.DomainNotFound], [fault.OutOfScope].
func (db *DB) HasDomain(ctx context.Context, name string) error {
	_, err := db.placed(ctx, name)
	return err
}

// Apart tells whether neither of two security domains is the other or below it. It locks nothing.
func (db *DB) Apart(ctx context.Context, one, other string) (bool, error) {
	above, err := db.DomainsAbove(ctx, []string{one, other})
	return !slices.Contains(above[one], other) && !slices.Contains(above[other], one), err
}

// A placer asks once for each domain that new objects go to.
type placer struct {
	db    *DB
	known map[string]string
}

func (p *placer) at(ctx context.Context, name string) (string, error) {
	if at, is := p.known[name]; is {
		return at, nil
	}
	at, err := p.db.placed(ctx, name)
	if err == nil {
		if p.known == nil {
			p.known = map[string]string{}
		}
		p.known[name] = at
	}
	return at, err
}

const domainColumns columns = "name, parent, note, created_at, version"

func scanDomain(r row) (d domain.Domain, err error) {
	err = r.Scan(&d.Name, &d.Parent, &d.Note, moment(&d.CreatedAt), &d.Version)
	return d, err
}

// Domains lists all domains by name, whatever the scope of ctx. Within a transaction all of them are locked for change.
func (db *DB) Domains(ctx context.Context) ([]domain.Domain, error) {
	return list(ctx, db, scanDomain, "SELECT "+string(domainColumns)+" FROM security_domain ORDER BY name"+db.locked(ctx))
}

// DomainsAbove lists, for each of some domains, the domain and those above it up to the root, whatever the scope of ctx. It locks nothing.
func (db *DB) DomainsAbove(ctx context.Context, names []string) (map[string][]string, error) {
	tree := domain.Tree{}
	scan := func(r row) (d domain.Domain, err error) {
		err = r.Scan(&d.Name, &d.Parent)
		return d, err
	}
	below := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == domain.Root })
	err := eachChunk(ctx, db, scan, "WITH RECURSIVE above (name, parent) AS (SELECT name, parent FROM security_domain WHERE name", below,
		"UNION SELECT d.name, d.parent FROM security_domain AS d JOIN above AS a ON d.name = a.parent) SELECT name, parent FROM above", func(d domain.Domain) { tree[d.Name] = d })
	above := make(map[string][]string, len(names))
	for _, name := range names {
		above[name] = tree.Above(name)
	}
	return above, err
}

// AddDomain stores a new domain; [fault.DomainExists].
func (db *DB) AddDomain(ctx context.Context, d domain.Domain) error {
	taken := fault.New(fault.DomainExists, "there is a security domain %q already", d.Name)
	return db.Transact(ctx, func(ctx context.Context) error {
		if err := db.change(ctx, taken, domainColumns.insert("security_domain"), d.Name, d.Parent, d.Note, micros(d.CreatedAt), d.Version); err != nil {
			return err
		}
		return db.unclaimed(ctx, "security domain", []string{d.Name}, func(r access.Restriction) []string { return []string{r.UserDomain} })
	})
}

// SaveDomain stores a changed parent or note of a domain whose Version is still d.Version, and counts it up; else [fault.Conflict].
func (db *DB) SaveDomain(ctx context.Context, d domain.Domain) error {
	stale := fault.New(fault.Conflict, "domain %s was changed meanwhile: read it again", d.Name)
	return db.change(ctx, stale, "UPDATE security_domain SET parent = $1, note = $2, version = version + 1 WHERE name = $3 AND version = $4", d.Parent, d.Note, d.Name, d.Version)
}

// homes are the tables of what has its place in a domain, with the column of its name.
var homes = map[domain.Kind]struct{ table, name string }{
	domain.Users: {"user_account", "id"}, domain.Tokens: {"token", "serial"}, domain.Groups: {"user_group", "name"},
	domain.Agents: {"agent", "id"}, domain.RADIUSClients: {"radius_client", "name"}, domain.APIKeys: {"api_key", "name"},
	domain.Directories: {"directory", "name"},
}

// DeleteDomain removes a domain that holds nothing, and that no agent or RADIUS client is limited to, with its policies; else [fault.DomainInUse].
func (db *DB) DeleteDomain(ctx context.Context, name string) error {
	return db.Transact(ctx, func(ctx context.Context) error {
		// Whoever places something there has the row locked, or finds that it is gone.
		missing := fault.New(fault.DomainNotFound, "there is no security domain %q", name)
		if _, err := one(ctx, db, missing, text, "SELECT name FROM security_domain WHERE name = $1"+db.locksAll(), name); err != nil {
			return err
		}
		held, err := db.CountObjects(ctx, name)
		if err != nil {
			return err
		}
		if err := db.handUp(ctx, name); err != nil {
			return err
		}
		children, err := one(ctx, db, missing, number, "SELECT COUNT(*) FROM security_domain WHERE parent = $1", name)
		if err != nil {
			return err
		}
		n := int(children)
		for _, count := range held {
			n += count
		}
		if n > 0 {
			return fault.New(fault.DomainInUse, "domain %s holds %d domains and objects: move them first", name, n)
		}
		all, err := db.limitedBy(ctx, "", func(r access.Restriction) bool { return r.UserDomain == name })
		if err != nil {
			return err
		}
		if err := released(ctx, fault.DomainInUse, fmt.Sprintf("domain %s holds those", name), "--allow-domain", all); err != nil {
			return err
		}
		if _, err := db.exec(ctx, "DELETE FROM policy WHERE domain = $1 AND domain <> ''", name); err != nil {
			return err
		}
		return db.change(ctx, missing, "DELETE FROM security_domain WHERE name = $1", name)
	})
}

// handUp gives what was done in a domain that is to be deleted to the one above. It is refused with [fault.DomainInUse] while something of it
// is still to be done: with the scope of the domain above, that would reach further.
func (db *DB) handUp(ctx context.Context, name string) error {
	const above = "(SELECT parent FROM security_domain WHERE name = $1)"
	for _, move := range []string{
		"UPDATE job SET domain = " + above + " WHERE domain = $1 AND domain <> '' AND state NOT IN ('loading', 'awaiting_approval', 'queued', 'running')",
		"UPDATE report_run SET domain = " + above + " WHERE domain = $1 AND domain <> '' AND state NOT IN ('queued', 'running')",
		"UPDATE clock_correction SET domain = " + above + " WHERE domain = $1",
	} {
		if _, err := db.exec(ctx, move, name); err != nil {
			return err
		}
	}
	for _, left := range [][2]string{{"job", "jobs of it run: wait for them, or cancel them"}, {"report_run", "reports of it are made: wait for them"},
		{"report_schedule", "reports of it are made again and again: end those schedules"}} {
		n, err := one(ctx, db, nil, number, "SELECT COUNT(*) FROM "+left[0]+" WHERE domain = $1", name)
		if err != nil {
			return err
		}
		if n > 0 {
			return fault.New(fault.DomainInUse, "domain %s is in use, %d %s", name, n, left[1])
		}
	}
	return nil
}

// CountObjects tells how many objects of each kind have their place in a domain itself.
func (db *DB) CountObjects(ctx context.Context, name string) (map[domain.Kind]int, error) {
	counts := map[domain.Kind]int{}
	var looks []look
	for kind, home := range homes {
		looks = append(looks, look{"SELECT COUNT(*) FROM " + home.table + " WHERE domain = $1 AND domain <> ''", []any{name}, func(r row) error {
			n, err := number(r)
			counts[kind] = int(n)
			return err
		}})
		if name == domain.Root {
			looks[len(looks)-1].query = "SELECT COUNT(*) FROM " + home.table + " WHERE domain = $1"
		}
	}
	return counts, db.look(ctx, looks...)
}

// noObject is the refusal for an object that is not there.
func noObject(kind domain.Kind, name string) *fault.Error {
	switch kind {
	case domain.Users:
		return noUser(name)
	case domain.Tokens:
		return fault.New(fault.TokenNotFound, "there is no token %s", name)
	case domain.Groups:
		return noGroup(name)
	case domain.Agents:
		return fault.New(fault.NotFound, "there is no agent %q", name)
	}
	return fault.New(fault.NotFound, "there is no RADIUS client %q", name)
}

// MoveObjects gives objects of a kind, all of them in the scope of ctx, another place; the tokens that a user holds go along with her,
// where they are in the scope too. It returns the objects that were elsewhere before, and how many such tokens were.
func (db *DB) MoveObjects(ctx context.Context, kind domain.Kind, names []string, into string) (moved []string, along int, err error) {
	home := homes[kind]
	if kind == domain.Agents {
		for i, name := range names {
			names[i] = agentID(name)
		}
	}
	err = db.Transact(ctx, func(ctx context.Context) error {
		if _, err := db.placed(ctx, into); err != nil {
			return err
		}
		moved = nil
		place := map[string]string{}
		scan := func(r row) (struct{}, error) {
			var name, at string
			err := r.Scan(&name, &at)
			place[name] = at
			return struct{}{}, err
		}
		err := eachChunk(ctx, db, scan, "SELECT "+home.name+", domain FROM "+home.table+" WHERE "+home.name, names, "ORDER BY "+home.name+db.locked(ctx), func(struct{}) {})
		if err != nil {
			return err
		}
		for _, name := range names {
			at, is := place[name]
			if !is || !domain.ScopeFrom(ctx).Covers(at) {
				return domain.Outside(ctx, noObject(kind, name), "%s %q", kind, name)
			}
			if at != into {
				moved = append(moved, name)
			}
		}
		along, err = db.setDomain(ctx, kind, "UPDATE "+home.table+" SET domain = $1 WHERE "+home.name, into, moved)
		return err
	})
	return moved, along, err
}

// setDomain runs an update of the place of objects, and returns how many tokens went along with their users.
func (db *DB) setDomain(ctx context.Context, kind domain.Kind, update, into string, names []string) (along int, err error) {
	for some := range slices.Chunk(slices.Sorted(slices.Values(names)), lookChunk) {
		among, args := db.among(2, anys(some))
		if _, err := db.exec(ctx, update+" "+among, append([]any{into}, args...)...); err != nil {
			return 0, err
		}
		if kind != domain.Users {
			continue
		}
		more, scope := db.andInScope(ctx, len(args)+1)
		args = append(append([]any{into}, args...), scope...)
		if lock := db.locked(ctx); lock != "" { // in the order in which sign-ins and others lock them
			if _, err := list(ctx, db, text, "SELECT serial FROM token WHERE domain <> $1 AND user_id "+among+more+" ORDER BY serial"+lock, args...); err != nil {
				return 0, err
			}
		}
		n, err := db.exec(ctx, "UPDATE token SET domain = $1 WHERE domain <> $1 AND user_id "+among+more, args...)
		if err != nil {
			return 0, err
		}
		along += n
	}
	return along, nil
}
