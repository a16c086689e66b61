package client

import (
	"context"
	"iter"
	"time"
)

// A BulkAssignment gives many tokens to many users: each user one, tokens sorted by serial; COUNT_MISMATCH if there are not
// exactly as many tokens as users.
type BulkAssignment struct {
	Users   []string         `json:"users,omitempty"`   // IDs, or
	Group   string           `json:"group,omitempty"`   // the members of a group
	Sort    string           `json:"sort,omitempty"`    // of the users: given (the default), user_id or name
	Serials []string         `json:"serials,omitempty"` // exactly as many as users, or
	Next    bool             `json:"next,omitempty"`    // the next available ones
	Pairs   []AssignmentPair `json:"pairs,omitempty"`   // in place of all of these: what a dry run has shown
	Partial bool             `json:"partial,omitempty"` // do what can be done; else all or nothing
	DryRun  bool             `json:"dry_run,omitempty"` // only say what would happen
}

// An AssignmentPair is a user and a token.
type AssignmentPair struct {
	UserID string `json:"user_id"`
	Serial string `json:"serial"`
}

// An AssignmentRow is what happened to one pair, or would.
type AssignmentRow struct {
	UserID  string `json:"user_id"`
	Serial  string `json:"serial"` // "" if there is no token left
	OK      bool   `json:"ok"`
	Code    string `json:"code,omitempty"` // of the refusal; with ok a warning such as USER_DISABLED
	Message string `json:"message,omitempty"`
}

// Assignments tells what a bulk assignment did, or would, in the order of the pairing.
type Assignments struct {
	Assigned int             `json:"assigned"`
	Failed   int             `json:"failed"`
	DryRun   bool            `json:"dry_run"`
	Rows     []AssignmentRow `json:"rows"`
}

// AssignMany gives tokens to users.
func (c *Client) AssignMany(ctx context.Context, b BulkAssignment) (Assignments, error) {
	return post[Assignments](ctx, c, path("tokens", "assign"), b)
}

// A Group is people who are chosen together.
type Group struct {
	Group     string    `json:"group"`
	Note      string    `json:"note"`
	Members   int       `json:"members"` // how many
	Domain    string    `json:"domain"`  // security domain
	CreatedAt time.Time `json:"created_at"`
	Version   int       `json:"version"`
}

// A NewGroup is what a group is made of.
type NewGroup struct {
	Group  string `json:"group"`
	Note   string `json:"note,omitempty"`
	Domain string `json:"domain,omitempty"` // security domain; the top of the caller's
}

// A GroupEdit changes what is not nil.
type GroupEdit struct {
	Note *string `json:"note,omitempty"`
}

// A GroupPage is some groups; Next is the After of the next page, "" if there is none.
type GroupPage struct {
	Groups []Group `json:"groups"`
	Next   string  `json:"next,omitempty"`
}

// A MemberChange says who is to come into a group, and who is to go.
type MemberChange struct {
	Add    []string `json:"add,omitempty"`    // user IDs
	Remove []string `json:"remove,omitempty"` // user IDs
}

// MembersChanged counts those who came and went.
type MembersChanged struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
}

// AddGroup stores a new group without members; GROUP_EXISTS.
func (c *Client) AddGroup(ctx context.Context, g NewGroup) (Group, error) {
	return post[Group](ctx, c, path("groups"), g)
}

// A GroupFilter selects groups; its zero value selects all.
type GroupFilter struct {
	Query  string // part of name or note, in any case
	UserID string // that the user is a member of
	Domain string // security domain, with all below
	After  string // only names after this one
	Limit  int    // at most so many; the server chooses for 0
}

// Groups returns a page of the groups that f selects, by name.
func (c *Client) Groups(ctx context.Context, f GroupFilter) (GroupPage, error) {
	return get[GroupPage](ctx, c, path("groups"), newQuery().text("query", f.Query).text("user_id", f.UserID).text("domain", f.Domain).text("after", f.After).limit(f.Limit))
}

// AllGroups goes through all pages of the groups that f selects. After an error it ends.
func (c *Client) AllGroups(ctx context.Context, f GroupFilter) iter.Seq2[Group, error] {
	return pages(func() ([]Group, bool, error) {
		page, err := c.Groups(ctx, f)
		f.After = page.Next
		return page.Groups, page.Next != "", err
	})
}

// Group returns a group; GROUP_NOT_FOUND.
func (c *Client) Group(ctx context.Context, name string) (Group, error) {
	return get[Group](ctx, c, path("groups", name), query{})
}

// EditGroup changes a group that is still at that version (0: at any); CONFLICT.
func (c *Client) EditGroup(ctx context.Context, name string, version int, e GroupEdit) (Group, error) {
	return patch[Group](ctx, c, path("groups", name), version, e)
}

// DeleteGroup removes a group; its members stay what they are.
func (c *Client) DeleteGroup(ctx context.Context, name string) error {
	return c.remove(ctx, path("groups", name))
}

// ChangeMembers adds users to a group and takes others from it, all or none; USER_NOT_FOUND. The members are the [Client.Users] of the group.
func (c *Client) ChangeMembers(ctx context.Context, name string, change MemberChange) (MembersChanged, error) {
	return post[MembersChanged](ctx, c, path("groups", name, "members"), change)
}

// A UserFile is a file of users (CSV).
type UserFile struct {
	File      []byte            `json:"file"`
	Encoding  string            `json:"encoding,omitempty"`   // utf-8, utf-16 or windows-1252; "" goes by the byte order mark, and is UTF-8 without one
	Delimiter string            `json:"delimiter,omitempty"`  // one character; "" for what the first line has most of
	NoHeader  bool              `json:"no_header,omitempty"`  // the first line is a user, too
	Columns   map[string]string `json:"columns,omitempty"`    // of user_id, name, mail, enabled, expiry and groups: titles, or #1 for the first
	AddGroups bool              `json:"add_groups,omitempty"` // groups that are not there are added
	Domain    string            `json:"domain,omitempty"`     // security domain of those who are added; the top of the caller's
	Partial   bool              `json:"partial,omitempty"`    // do what can be done; else all or nothing
	DryRun    bool              `json:"dry_run,omitempty"`    // only say what would happen
}

// AppliedUsers tells what became of users, or would. Rows are in the order of the file, without those that are unchanged.
type AppliedUsers struct {
	DryRun      bool          `json:"dry_run"`
	Added       int           `json:"added"`
	Changed     int           `json:"changed"`
	Disabled    int           `json:"disabled"`
	Enabled     int           `json:"enabled"`
	Unchanged   int           `json:"unchanged"`
	Failed      int           `json:"failed"`
	AddedGroups []string      `json:"added_groups"`
	Rows        []AppliedUser `json:"rows"`
	// Columns are the titles of a file's columns that were taken for each field, by its name; UnusedColumns those that were not read.
	Columns       map[string][]string `json:"columns,omitempty"`
	UnusedColumns []string            `json:"unused_columns,omitempty"`
}

// An AppliedUser is what became of one user.
type AppliedUser struct {
	Line    int    `json:"line,omitempty"` // in the file
	UserID  string `json:"user_id"`
	Action  string `json:"action"`         // added, changed, disabled, enabled, unchanged or failed
	Code    string `json:"code,omitempty"` // of a failure, or of what was left out
	Message string `json:"message,omitempty"`
}

// ImportUsers adds the users of a file and changes those who are here; IMPORT_BAD_FORMAT for a broken one, which changes nothing.
func (c *Client) ImportUsers(ctx context.Context, f UserFile) (AppliedUsers, error) {
	return post[AppliedUsers](ctx, c, path("users", "import"), f)
}
