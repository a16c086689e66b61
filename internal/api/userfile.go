package api

import (
	"context"
	"unicode/utf8"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/user"
)

func (a *API) importUsers(ctx context.Context, _ *request, in client.UserFile) (answer, error) {
	ctx, err := a.into(ctx, in.Domain)
	if err != nil {
		return answer{}, err
	}
	l := user.Layout{Encoding: user.Encoding(in.Encoding), NoHeader: in.NoHeader, Columns: map[user.Field]string{}}
	if in.Delimiter != "" {
		l.Delimiter, _ = utf8.DecodeRuneInString(in.Delimiter)
	}
	for field, column := range in.Columns {
		l.Columns[user.Field(field)] = column
	}
	entries, columns, err := user.ReadCSV(in.File, l)
	if err != nil {
		return answer{}, err
	}
	result, err := a.Users.Apply(ctx, entries, user.Wish{Partial: in.Partial, DryRun: in.DryRun, AddGroups: in.AddGroups})
	if err != nil {
		return answer{}, err
	}
	out := appliedUsers(result, in.DryRun)
	out.UnusedColumns = columns.Unused
	out.Columns = make(map[string][]string, len(columns.Used))
	for field, titles := range columns.Used {
		out.Columns[string(field)] = titles
	}
	return ok(out)
}

// appliedUsers shows what became of users; those who are unchanged, with nothing to tell, are only counted.
func appliedUsers(result user.Result, dryRun bool) client.AppliedUsers {
	out := client.AppliedUsers{
		DryRun: dryRun, Added: result.Counts[user.Added], Changed: result.Counts[user.Changed], Disabled: result.Counts[user.Disabled],
		Enabled: result.Counts[user.Enabled], Unchanged: result.Counts[user.Unchanged], Failed: result.Counts[user.Failed],
		AddedGroups: mapped(result.Groups, func(name string) string { return name }), Rows: []client.AppliedUser{},
	}
	for _, row := range result.Rows {
		if row.Action != user.Unchanged || row.Message != "" {
			out.Rows = append(out.Rows, client.AppliedUser{Line: row.Line, UserID: row.ID, Action: string(row.Action), Code: string(row.Code), Message: row.Message})
		}
	}
	return out
}
