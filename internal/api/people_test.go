package api

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
)

func assignmentRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	serials := try(c.CreateTokens(ctx, client.NewTokens{Count: 3}))(t)
	var users []string
	for n := range 3 {
		users = append(users, fmt.Sprint("many-", n))
		try(c.AddUser(ctx, client.NewUser{UserID: users[n]}))(t)
	}
	_, err := c.AssignMany(ctx, client.BulkAssignment{Users: users, Serials: serials[:2]})
	refused(t, err, 422, "COUNT_MISMATCH")
	if told := err.(*client.Error); told.Details["users"] != 3.0 || told.Details["tokens"] != 2.0 {
		t.Errorf("details %v", told.Details)
	}
	_, err = c.AssignMany(ctx, client.BulkAssignment{Users: users})
	refused(t, err, 422, "COUNT_MISMATCH")
	shown := try(c.AssignMany(ctx, client.BulkAssignment{Users: users, Serials: []string{serials[2], serials[0], serials[1]}, DryRun: true}))(t)
	if shown.Assigned != 3 || shown.Failed != 0 || !shown.DryRun || shown.Rows[0] != (client.AssignmentRow{UserID: users[0], Serial: serials[0], OK: true}) {
		t.Errorf("shown %+v", shown)
	}
	if tok := try(c.Token(ctx, serials[0]))(t); tok.UserID != "" {
		t.Errorf("a dry run assigned %+v", tok)
	}
	confirmed := client.BulkAssignment{}
	for _, row := range shown.Rows {
		confirmed.Pairs = append(confirmed.Pairs, client.AssignmentPair{UserID: row.UserID, Serial: row.Serial})
	}
	if done := try(c.AssignMany(ctx, confirmed))(t); done.DryRun || !slices.Equal(done.Rows, shown.Rows) {
		t.Errorf("done %+v, shown %+v", done, shown)
	}
	_, err = c.AssignMany(ctx, confirmed)
	refused(t, err, 409, "TOKEN_ALREADY_ASSIGNED")
	confirmed.Partial = true
	if again := try(c.AssignMany(ctx, confirmed))(t); again.Failed != 3 || again.Rows[0].OK || again.Rows[0].Code != "TOKEN_ALREADY_ASSIGNED" || again.Rows[0].Message == "" {
		t.Errorf("again %+v", again)
	}
	_, err = c.AssignMany(ctx, client.BulkAssignment{Group: "nowhere", Next: true})
	refused(t, err, 404, "GROUP_NOT_FOUND")
	_, err = c.AssignMany(ctx, client.BulkAssignment{Next: true})
	refused(t, err, 400, "INVALID")
}

func groupRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	g := try(c.AddGroup(ctx, client.NewGroup{Group: "Süd/1", Note: "sales"}))(t)
	if g.Group != "Süd/1" || g.Version != 1 || g.Members != 0 || !g.CreatedAt.Equal(h.Now()) {
		t.Errorf("added %+v", g)
	}
	_, err := c.AddGroup(ctx, client.NewGroup{Group: g.Group})
	refused(t, err, 409, "GROUP_EXISTS")
	_, err = c.AddGroup(ctx, client.NewGroup{Group: "a;b"})
	refused(t, err, 422, "USER_INVALID")
	for _, id := range []string{"member-1", "member-2"} {
		try(c.AddUser(ctx, client.NewUser{UserID: id}))(t)
	}
	_, err = c.ChangeMembers(ctx, g.Group, client.MemberChange{Add: []string{"member-1", "nobody"}})
	refused(t, err, 404, "USER_NOT_FOUND")
	if done := try(c.ChangeMembers(ctx, g.Group, client.MemberChange{Add: []string{"member-1", "member-2"}, Remove: []string{"nobody"}}))(t); done.Added != 2 || done.Removed != 0 {
		t.Errorf("changed %+v", done)
	}
	if page := try(c.Users(ctx, client.UserFilter{Group: g.Group}))(t); len(page.Users) != 2 || page.Users[0].UserID != "member-1" {
		t.Errorf("members %+v", page)
	}
	_, err = c.Users(ctx, client.UserFilter{Group: "nowhere"})
	refused(t, err, 404, "GROUP_NOT_FOUND")
	note := "sales, south"
	edited := try(c.EditGroup(ctx, g.Group, g.Version, client.GroupEdit{Note: &note}))(t)
	if edited.Note != note || edited.Version != 2 || edited.Members != 2 {
		t.Errorf("edited %+v", edited)
	}
	_, err = c.EditGroup(ctx, g.Group, g.Version, client.GroupEdit{Note: &note})
	refused(t, err, 409, "CONFLICT")
	if got := try(c.Group(ctx, g.Group))(t); got != edited {
		t.Errorf("read %+v, edited %+v", got, edited)
	}
	if page := try(c.Groups(ctx, client.GroupFilter{UserID: "member-2", Limit: 1}))(t); !slices.Equal(page.Groups, []client.Group{edited}) {
		t.Errorf("groups %+v", page)
	}
	must(t, c.DeleteGroup(ctx, g.Group))
	refused(t, c.DeleteGroup(ctx, g.Group), 404, "GROUP_NOT_FOUND")
	_, err = c.ChangeMembers(ctx, g.Group, client.MemberChange{Add: []string{"member-1"}})
	refused(t, err, 404, "GROUP_NOT_FOUND")
	try(c.User(ctx, "member-1"))(t)
}

func userFileRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	try(c.AddUser(ctx, client.NewUser{UserID: "file-1", Name: "Old"}))(t)
	f := client.UserFile{File: []byte("Sign-in;Name;Enabled;Teams\nfile-1;New;no;file-g\nfile-2;Two;;\n"), Columns: map[string]string{"user_id": "sign-in", "groups": "Teams"}, AddGroups: true, DryRun: true}
	want := client.AppliedUsers{DryRun: true, Added: 1, Disabled: 1, AddedGroups: []string{"file-g"}, Rows: []client.AppliedUser{
		{Line: 2, UserID: "file-1", Action: "disabled"}, {Line: 3, UserID: "file-2", Action: "added"},
	}, Columns: map[string][]string{"user_id": {"Sign-in"}, "name": {"Name"}, "enabled": {"Enabled"}, "groups": {"Teams"}}}
	if shown := try(c.ImportUsers(ctx, f))(t); !reflect.DeepEqual(shown, want) {
		t.Errorf("shown %+v", shown)
	}
	_, err := c.User(ctx, "file-2")
	refused(t, err, 404, "USER_NOT_FOUND")
	f.DryRun, want.DryRun = false, false
	if done := try(c.ImportUsers(ctx, f))(t); !reflect.DeepEqual(done, want) {
		t.Errorf("done %+v", done)
	}
	if u := try(c.User(ctx, "file-1"))(t); u.Name != "New" || u.Enabled || u.Version != 2 {
		t.Errorf("changed %+v", u)
	}
	if again := try(c.ImportUsers(ctx, f))(t); again.Unchanged != 2 || len(again.Rows) != 0 {
		t.Errorf("again %+v", again)
	}
	_, err = c.ImportUsers(ctx, client.UserFile{File: []byte("user_id\n\"file-3\n")})
	refused(t, err, 422, "IMPORT_BAD_FORMAT")
	_, err = c.ImportUsers(ctx, client.UserFile{File: []byte("user_id,groups\nfile-3,nowhere\n")})
	refused(t, err, 404, "GROUP_NOT_FOUND")
	odd := try(c.ImportUsers(ctx, client.UserFile{File: []byte("user_id,groups\nfile-4,file-h\nfile-5," + strings.Repeat("g", 129) + "\n"), Partial: true, AddGroups: true}))(t)
	if odd.Added != 1 || odd.Failed != 1 || odd.Rows[1].UserID != "file-5" || odd.Rows[1].Code != "USER_INVALID" || !slices.Equal(odd.AddedGroups, []string{"file-h"}) {
		t.Errorf("a name that no group can have: %+v", odd)
	}
	_, err = c.ImportUsers(ctx, client.UserFile{File: []byte("user_id,mail\nfile-3,here\n")})
	refused(t, err, 422, "USER_INVALID")
	_, err = c.User(ctx, "file-3")
	refused(t, err, 404, "USER_NOT_FOUND")
}

func domainRoutes(t *testing.T, h *house) {
	ctx, c := t.Context(), h.admin
	d := try(c.AddDomain(ctx, client.NewDomain{Domain: "north sea", Note: "n"}))(t)
	if d.Parent != "root" || d.Version != 1 || d.Note != "n" {
		t.Errorf("added %+v", d)
	}
	try(c.AddDomain(ctx, client.NewDomain{Domain: "island", Parent: "north sea"}))(t)
	for _, wrong := range []string{"root", "Root", " x", "a/b", strings.Repeat("x", 64)} {
		_, err := c.AddDomain(ctx, client.NewDomain{Domain: wrong})
		refused(t, err, 422, "DOMAIN_INVALID")
	}
	_, err := c.AddDomain(ctx, client.NewDomain{Domain: "island"})
	refused(t, err, 409, "DOMAIN_EXISTS")
	_, err = c.AddDomain(ctx, client.NewDomain{Domain: "x", Parent: "nowhere"})
	refused(t, err, 404, "DOMAIN_NOT_FOUND")
	_, err = c.AddUser(ctx, client.NewUser{UserID: "lost", Domain: "nowhere"})
	refused(t, err, 404, "DOMAIN_NOT_FOUND")
	island, note := "island", "north"
	_, err = c.EditDomain(ctx, "north sea", 0, client.DomainEdit{Parent: &island})
	refused(t, err, 422, "DOMAIN_INVALID")
	edited := try(c.EditDomain(ctx, "north sea", 1, client.DomainEdit{Note: &note}))(t)
	if edited.Note != note || edited.Version != 2 || edited.Parent != "root" {
		t.Errorf("edited %+v", edited)
	}
	_, err = c.EditDomain(ctx, "north sea", 1, client.DomainEdit{Note: &note})
	refused(t, err, 409, "CONFLICT")
	try(c.AddUser(ctx, client.NewUser{UserID: "sailor", Domain: "island"}))(t)
	if n := try(c.PutIntoDomain(ctx, "island", client.DomainObjects{Users: []string{"sailor"}}))(t); n.Users != 0 {
		t.Errorf("moved %+v", n)
	}
	_, err = c.PutIntoDomain(ctx, "island", client.DomainObjects{Users: []string{"sailor", "nobody"}})
	refused(t, err, 404, "USER_NOT_FOUND")
	if shown := try(c.Domain(ctx, "island"))(t); shown.Objects.Users != 1 || shown.Parent != "north sea" {
		t.Errorf("shown %+v", shown)
	}
	if root := try(c.Domain(ctx, "root"))(t); root.Parent != "" || root.Objects.Users == 0 {
		t.Errorf("root %+v", root)
	}
	if page := try(c.Users(ctx, client.UserFilter{Domain: "north sea"}))(t); len(page.Users) != 1 || page.Users[0].Domain != "island" {
		t.Errorf("users %+v", page)
	}
	refused(t, c.DeleteDomain(ctx, "north sea"), 409, "DOMAIN_IN_USE")
	refused(t, c.DeleteDomain(ctx, "island"), 409, "DOMAIN_IN_USE")
	must(t, c.DeleteUser(ctx, "sailor"))
	must(t, c.DeleteDomain(ctx, "island"))
	refused(t, c.DeleteDomain(ctx, "island"), 404, "DOMAIN_NOT_FOUND")
	if all := try(c.Domains(ctx))(t); len(all) != 2 || all[0].Domain != "root" || all[1].Domain != "north sea" {
		t.Errorf("listed %+v", all)
	}
	must(t, c.DeleteDomain(ctx, "north sea"))
}
