package client

import (
	"context"
	"net/http"
	"time"
)

// A Directory is an LDAP directory that people come from.
type Directory struct {
	Directory    string         `json:"directory"`
	Kind         string         `json:"kind"` // openldap or ad
	URL          string         `json:"url"`  // ldaps://host, or ldap://host with StartTLS
	StartTLS     bool           `json:"start_tls"`
	CA           string         `json:"ca"` // certificates of authorities in PEM; "" for the system's
	BindDN       string         `json:"bind_dn"`
	BaseDN       string         `json:"base_dn"`
	Filter       string         `json:"filter"`
	UserID       string         `json:"user_id_attribute"`
	Name         string         `json:"name_attribute"`
	Mail         string         `json:"mail_attribute"`
	DisabledBy   []string       `json:"disabled_by"` // attributes that tell whether somebody is disabled
	LowerCase    bool           `json:"lower_case"`  // user IDs are taken in lower case
	Groups       string         `json:"groups"`      // memberof, search or none
	GroupBase    string         `json:"group_base"`
	GroupFilter  string         `json:"group_filter"`
	PageSize     int            `json:"page_size"`
	MaxLost      int            `json:"max_lost"` // of a hundred people, or memberships of groups, how many one synchronisation disables, or ends, without being forced
	Adopt        bool           `json:"adopt"`    // users who were made by hand become the directory's
	Domain       string         `json:"domain"`   // security domain that people are placed in
	EverySeconds int64          `json:"every_seconds"`
	CreatedAt    time.Time      `json:"created_at"`
	Version      int            `json:"version"`
	Last         *DirectoryLast `json:"last,omitempty"` // synchronisation
}

// A DirectoryLast is what came of the last synchronisation.
type DirectoryLast struct {
	At      time.Time `json:"at"`
	Code    string    `json:"code,omitempty"` // of a refusal
	Message string    `json:"message"`
}

// A NewDirectory is a directory to be added; what is empty has the default of its kind.
type NewDirectory struct {
	Directory string `json:"directory"`
	Kind      string `json:"kind"`
	Domain    string `json:"domain,omitempty"`
	DirectoryEdit
}

// A DirectoryEdit changes a directory; what is nil stays.
type DirectoryEdit struct {
	URL          *string   `json:"url,omitempty"` // another one takes the password again
	StartTLS     *bool     `json:"start_tls,omitempty"`
	CA           *string   `json:"ca,omitempty"` // as the URL
	BindDN       *string   `json:"bind_dn,omitempty"`
	Password     *Secret   `json:"password,omitempty"` // of BindDN
	BaseDN       *string   `json:"base_dn,omitempty"`
	Filter       *string   `json:"filter,omitempty"`
	UserID       *string   `json:"user_id_attribute,omitempty"`
	Name         *string   `json:"name_attribute,omitempty"`
	Mail         *string   `json:"mail_attribute,omitempty"`
	DisabledBy   *[]string `json:"disabled_by,omitempty"` // none: nobody is disabled there but who is missing
	LowerCase    *bool     `json:"lower_case,omitempty"`
	Groups       *string   `json:"groups,omitempty"`
	GroupBase    *string   `json:"group_base,omitempty"`
	GroupFilter  *string   `json:"group_filter,omitempty"`
	PageSize     *int      `json:"page_size,omitempty"`
	MaxLost      *int      `json:"max_lost,omitempty"`
	Adopt        *bool     `json:"adopt,omitempty"`
	EverySeconds *int64    `json:"every_seconds,omitempty"` // 0 for only when asked
}

// A DirectoryList is all directories.
type DirectoryList struct {
	Directories []Directory `json:"directories"`
}

// A DirectoryTest tells that a directory could be read, and how many people are there.
type DirectoryTest struct {
	Found     int `json:"found"`
	Skipped   int `json:"skipped"`   // entries without a user ID
	Referrals int `json:"referrals"` // to other servers, which are not followed
}

// A SyncWish says how a directory is synchronised.
type SyncWish struct {
	DryRun bool `json:"dry_run,omitempty"` // only say what would happen
	Force  bool `json:"force,omitempty"`   // disable more people, or end more memberships, than the directory's MaxLost; never everybody
}

// A DirectorySync is what a synchronisation did, or would.
type DirectorySync struct {
	Found     int          `json:"found"`
	Skipped   int          `json:"skipped"`   // entries without a user ID
	Referrals int          `json:"referrals"` // to other servers, which are not followed
	Missing   int          `json:"missing"`   // people of before who are not there any more: they are disabled
	Joined    int          `json:"joined"`    // memberships of groups that were added
	Left      int          `json:"left"`      // and taken away
	Users     AppliedUsers `json:"users"`
}

// AddDirectory stores a new directory; DIRECTORY_INVALID.
func (c *Client) AddDirectory(ctx context.Context, d NewDirectory) (Directory, error) {
	return post[Directory](ctx, c, path("directories"), d)
}

// Directories returns the directories by name.
func (c *Client) Directories(ctx context.Context) ([]Directory, error) {
	all, err := get[DirectoryList](ctx, c, path("directories"), query{})
	return all.Directories, err
}

// Directory returns a directory; NOT_FOUND.
func (c *Client) Directory(ctx context.Context, name string) (Directory, error) {
	return get[Directory](ctx, c, path("directories", name), query{})
}

// EditDirectory changes a directory that is still at that version (0: at any); CONFLICT.
func (c *Client) EditDirectory(ctx context.Context, name string, version int, e DirectoryEdit) (Directory, error) {
	return patch[Directory](ctx, c, path("directories", name), version, e)
}

// DeleteDirectory removes a directory; its people stay.
func (c *Client) DeleteDirectory(ctx context.Context, name string) error {
	return c.remove(ctx, path("directories", name))
}

// directoryPatience is how long the answer to a synchronisation may take: a little longer than the server gives the directory and itself.
const directoryPatience = 16 * time.Minute

// TestDirectory reads a directory and changes nothing; DIRECTORY_UNREACHABLE, DIRECTORY_REFUSED.
func (c *Client) TestDirectory(ctx context.Context, name string) (DirectoryTest, error) {
	var found DirectoryTest
	err := c.patient(directoryPatience).do(ctx, call{method: http.MethodPost, path: path("directories", name, "test"), result: &found})
	return found, err
}

// SyncDirectory takes the people of a directory; DIRECTORY_UNREACHABLE, DIRECTORY_REFUSED, DIRECTORY_SUSPICIOUS.
func (c *Client) SyncDirectory(ctx context.Context, name string, w SyncWish) (DirectorySync, error) {
	var done DirectorySync
	err := c.patient(directoryPatience).do(ctx, call{method: http.MethodPost, path: path("directories", name, "sync"), body: w, result: &done})
	return done, err
}
