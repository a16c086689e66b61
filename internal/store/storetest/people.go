package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// registry keeps the users of the store, at the time of the tests.
func (s fixture) registry() *user.Registry {
	return &user.Registry{Store: s, Now: func() time.Time { return start }}
}

// became are the rows of a result as text.
func became(r user.Result) (all []string) {
	for _, row := range r.Rows {
		all = append(all, fmt.Sprintf("%s %s %s", row.ID, row.Action, row.Code))
	}
	return all
}

func applying(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.registry()
	word := func(w string) *string { return &w }
	off, on := false, true
	for _, id := range []string{"kept", "changed", "off", "on", "joins"} {
		ok(t, s.AddUser(ctx, user.User{ID: id, Name: "N", Mail: "m@example.com", Enabled: id != "on", CreatedAt: start, Version: 1}))
	}
	ok(t, s.AddGroup(ctx, user.Group{Name: "g", CreatedAt: start, Version: 1}))
	_, err := s.AddMembers(ctx, "g", []string{"kept"})
	ok(t, err)
	entries := []user.Entry{
		{Line: 2, ID: "new", Name: word("Ü"), Groups: []string{"g"}}, {Line: 3, ID: "kept", Name: word("N"), Groups: []string{"g"}}, {Line: 4, ID: "changed", Mail: word("")},
		{Line: 5, ID: "off", Enabled: &off, Name: word("O")}, {Line: 6, ID: "on", Enabled: &on}, {Line: 7, ID: "joins", Groups: []string{"g"}},
	}
	last, none := day(3), time.Time{}
	for _, id := range []string{"ends", "stays"} {
		ok(t, s.AddUser(ctx, user.User{ID: id, Enabled: true, Expiry: day(2), CreatedAt: start, Version: 1}))
	}
	entries = append(entries, user.Entry{Line: 8, ID: "ends", Expiry: &last}, user.Entry{Line: 9, ID: "stays", Expiry: &none})
	want := []string{"new added ", "kept unchanged ", "changed changed ", "off disabled ", "on enabled ", "joins changed ", "ends changed ", "stays changed "}
	shown, err := r.Apply(ctx, entries, user.Wish{DryRun: true})
	same(t, became(must(t, shown, err)), want)
	if _, err := s.User(ctx, "new"); !errors.Is(err, fault.UserNotFound) {
		t.Errorf("a dry run added a user: %v", err)
	}
	same(t, must(t, shown, err).Counts, map[user.Action]int{user.Added: 1, user.Changed: 4, user.Disabled: 1, user.Enabled: 1, user.Unchanged: 1})
	done, err := r.Apply(ctx, entries, user.Wish{})
	same(t, became(must(t, done, err)), want)
	for id, want := range map[string]user.User{
		"new": {Name: "Ü", Enabled: true, Version: 1}, "kept": {Name: "N", Mail: "m@example.com", Enabled: true, Version: 1}, "changed": {Name: "N", Enabled: true, Version: 2},
		"off": {Name: "O", Mail: "m@example.com", Version: 2}, "on": {Name: "N", Mail: "m@example.com", Enabled: true, Version: 2},
	} {
		want.ID, want.CreatedAt = id, start
		got, err := s.User(ctx, id)
		same(t, must(t, got, err), want)
	}
	ids, err := s.MemberIDs(ctx, "g", 9)
	same(t, must(t, ids, err), []string{"joins", "kept", "new"})
	waiting, err := s.Pending(ctx) // an event for each change, and one for the group
	same(t, must(t, waiting, err), 7)
	again, err := r.Apply(ctx, entries, user.Wish{})
	same(t, must(t, again, err).Counts, map[user.Action]int{user.Unchanged: 8})
	if found, err := s.Users(ctx, user.Filter{Query: "Ü"}); len(must(t, found, err)) != 1 {
		t.Errorf("found %v", found)
	}
}

func applyingWhatCannotBe(t *testing.T, s fixture) {
	ctx, r := t.Context(), s.registry()
	entries := []user.Entry{{Line: 1, ID: "a"}, {Line: 2, ID: " b"}, {Line: 3, ID: "a"}, {Line: 4, ID: "c", Groups: []string{"none"}}}
	here := user.User{ID: "here", Name: "by hand", Enabled: true, CreatedAt: start, Version: 1}
	ok(t, s.AddUser(ctx, here))
	named := "Somebody"
	met, err := r.Apply(ctx, []user.Entry{{ID: "here", Name: &named, New: true}, {ID: "new", New: true}}, user.Wish{Partial: true, DryRun: true})
	same(t, became(must(t, met, err)), []string{"here failed USER_EXISTS", "new added "})
	met, err = r.Apply(ctx, []user.Entry{{ID: "here", Name: &named, New: true}}, user.Wish{Partial: true})
	same(t, became(must(t, met, err)), []string{"here failed USER_EXISTS"})
	got, err := s.User(ctx, "here")
	same(t, must(t, got, err), here)
	ok(t, s.DeleteUser(ctx, "here"))
	_, err = r.Apply(ctx, entries, user.Wish{})
	refused(t, err, fault.UserInvalid)
	var told *fault.Error
	if !errors.As(err, &told) || told.Details["failed"] != 3 {
		t.Errorf("details %+v", told)
	}
	all, err := s.Users(ctx, user.Filter{})
	same(t, len(must(t, all, err)), 0)
	done, err := r.Apply(ctx, entries, user.Wish{Partial: true})
	same(t, became(must(t, done, err)), []string{"a added ", " b failed USER_INVALID", "a failed USER_INVALID", "c failed GROUP_NOT_FOUND"})
	done, err = r.Apply(ctx, []user.Entry{{ID: " b", Groups: []string{"unneeded"}}}, user.Wish{Partial: true, AddGroups: true})
	same(t, len(must(t, done, err).Groups), 0)
	_, err = s.Group(ctx, "unneeded")
	refused(t, err, fault.GroupNotFound)
	done, err = r.Apply(ctx, entries[3:], user.Wish{AddGroups: true})
	same(t, must(t, done, err).Groups, []string{"none"})
	ids, err := s.MemberIDs(ctx, "none", 9)
	same(t, must(t, ids, err), []string{"c"})
}
